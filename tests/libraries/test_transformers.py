"""Untrained language models of Hugging Face's transformers, built from their configurations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.libraries.whole import ROWS, check_whole
from torch import Tensor, nn

import yuragi as yu
from yuragi.estimators import ESTIMATORS, Estimator

pytestmark = pytest.mark.libraries

TOKENS = torch.randint(0, 50, (ROWS, 12), generator=torch.Generator().manual_seed(0))
MASK = torch.ones(ROWS, 12, dtype=torch.int64).index_fill(1, torch.tensor([10, 11]), 0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bert_classifies_texts(estimator: Estimator) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=3
    )
    net = transformers.BertForSequenceClassification(config)
    x = {"input_ids": TOKENS, "attention_mask": MASK}
    y = torch.tensor([0, 1, 2, 1])
    check_whole(net, x, y, estimator, likelihood=yu.Categorical(), per_example=[nn.Linear], output="logits")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gpt2_predicts_the_next_token(estimator: Estimator) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    net = transformers.GPT2LMHeadModel(config)

    def logits(result: Any) -> Tensor:
        return result.logits.transpose(1, 2)  # type: ignore[no-any-return]  # classes second, as for images

    x = {"input_ids": TOKENS, "use_cache": False}
    # the head is tied to the embedding, which is no operation of its own per example
    check_whole(net, x, TOKENS.roll(-1, 1), estimator, likelihood=yu.Categorical(), per_example=[], output=logits)
    (tied,) = [row for row in yu.bayesianize(net).coverage().rows if row.tied]
    assert (tied.name, tied.tied) == ("transformer.wte.weight", ("lm_head.weight",))
