"""From numbers to plotly's figures, each with a sentence, a text alternative and a table."""
