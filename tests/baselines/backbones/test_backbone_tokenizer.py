"""The tokenizer gives every text of the world back; the expectation is the text itself (a round trip)."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

from mmud.baselines.backbones.tokenizer import UNKNOWN, build_tokenizer
from mmud.baselines.neural_tuning.tokens import with_tags
from mmud.dataset.sources.scenes import generate, preset


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.mark.parametrize("name", ["easy", "normal", "hard"])
def test_texts_come_back_character_for_character(tokenizer, name):
    tagged, _ = with_tags(tokenizer, 12, 10_000)
    for index in range(6000, 6040):
        scene = generate(preset(name), index)
        asked = scene.more_questions(6)
        texts = [scene.caption, *(p for ps in scene.phrases for p in ps)]
        texts += [text for each in asked for text in (each.text, each.answer)]
        for text in texts:
            ids = tagged.encode(text)
            assert tagged.unk_token_id not in ids, text
            # A tag takes the space before it.
            assert tagged.decode(ids) == text.replace(" <LCL", "<LCL")


def test_a_saved_folder_loads_as_a_standard_tokenizer(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.encode("The red star.") == tokenizer.encode("The red star.")


def test_a_word_that_no_scene_says_is_unknown(tokenizer):
    assert tokenizer.tokenize("the xylophone")[-1] in ("▁xylophone", UNKNOWN)
    assert tokenizer.encode("xylophone") == [tokenizer.unk_token_id]
