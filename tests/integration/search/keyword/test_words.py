# ruff: noqa: RUF001
"""What a word is, in the embedded server's database, in one of the locale C.UTF-8, and in one of libc's C."""

import unicodedata
from collections.abc import Iterator

import hypothesis
import pytest
from sqlalchemy import Connection, Engine, text

from tests.integration.search.keyword.conftest import LOCALES
from tests.support.data.keyword_corpus import search_paths, search_scores, write_corpus

# Text, and queries that find it before all others.
CASES: dict[str, tuple[str, list[str]]] = {
    "curly.md": (
        "She said “hyperdrive” — the plan—fluxgate, the Company’s own; hello\u00a0world, ‹guillemet›",
        ["hyperdrive", "fluxgate", "company's", "Company’s", "hello", "world", "plan", "guillemet", "“hyperdrive”"],
    ),
    "signs.md": (
        "• bulleted ◦second →arrowed 🎉partying €50 97%done ✓checked …ellipsed №7 Trade™mark 25℃",
        ["bulleted", "second", "arrowed", "partying", "checked", "ellipsed", "trade"],
    ),
    "invisible.md": (
        "zero\u200bwidth soft\u00adhyphenated \ufeffbom word\u2060joined non\u2011breaking",
        ["zerowidth", "softhyphenated", "bom", "wordjoined", "breaking", "non-breaking"],
    ),
    "wide.md": (
        "Ｆｕｌｌｗｉｄｔｈ １２３４５，ﬁshmonger ⅷ",
        ["fullwidth", "12345", "fishmonger", "viii", "Ｆｕｌｌｗｉｄｔｈ"],
    ),
    "tar.md": (
        "Run `tar -xzf archive.tar.gz` to extract it.",
        ["what does tar -xzf do", "tar -xzf archive.tar.gz", "-xzf", "archive.tar.gz", "archive"],
    ),
    "powershell.md": (
        "Get-ChildItem -Recurse lists files below a folder.",
        ["Get-ChildItem -Recurse", "Get-ChildItem", "childitem", "child item", "-Recurse"],
    ),
    "generic.md": (
        'A `List<Customer>`, <add key="maxPoolSize">; <script>alertify</script> more; <style>stylish</style> end.',
        ["Customer", "maxPoolSize", "maxpoolsize", "pool size", "alertify", "stylish", "List<Customer>"],
    ),
    "entities.md": (
        "Caf&eacute; &#1046;&#x443;&#1082; Tom&amp;Jerry &lt;Tagged&gt; left&nbsp;right &copy;right p = &pointer; AT&T",
        ["Café", "жук", "jerry", "tagged", "left", "pointer", "AT&T"],
    ),
    "accents.md": ("A naïve résumé of Dvořák in Kłodzko", ["naive", "resume", "Dvorak", "klodzko", "naïve", "résumé"]),
    "nfd.md": ("Mu\u0308nchen and Zu\u0308rich", ["M\u00fcnchen", "Mu\u0308nchen", "MÜNCHEN", "Zürich"]),
    "case.md": ("ÉCLAIR ΟΔΟΣ ЁЛКА ŁÓDŹ ÇELİK", ["éclair", "οδος", "ёлка", "łódź", "çelik"]),
    "plus.md": ("Written in C++17.", ["C++"]),
    "sharp.md": ("Written in C#.", ["C#", "c#"]),
    "fsharp.md": ("Written in F#.", ["F#"]),
    "net.md": ("Runs on .NET 8.", [".NET 8"]),
    "aspnet.md": ("An ASP.NET application.", ["ASP.NET", "asp"]),
    "c.md": ("Written in C.", ["C"]),
    "node.md": ("Needs node.js to run.", ["node.js", "Node.js", "node"]),
    "camel.md": (
        "parseHTTPResponse, readTextFile and snake_cased_name, kebab-cased-thing, dotted.module.path, PDFs",
        [
            "http response",
            "text file",
            "readTextFile",
            "snake_cased_name",
            "cased name",
            "kebab",
            "dotted.module",
            "pdfs",
        ],
    ),
    "joined.md": ("An e-mail to the co-operative about a web-site", ["email", "e-mail", "cooperative", "website"]),
    "apart.md": ("A microservice and a database", ["micro-service", "data-base", "microservice"]),
    "names.md": ("Call getUserName or set_host_name here.", ["username", "user name", "hostname", "getUserName"]),
    "grouped.md": (
        "It costs 1,234.56 or 7.654.321,99 or 8\u202f765,43 or 12'345'678 or 2,718,281",
        ["1234.56", "7654321.99", "7,654,321.99", "8765.43", "12345678", "2718281", "1,234.56"],
    ),
    "signed.md": ("It raises 10**−271 to -272, or 273", ["271", "-271", "-272", "272", "273"]),
    "broken.md": ("A formatter's func\u2010\n   tions", ["functions"]),
    "versions.md": (
        "Since v4.17.21 and python3.99 of libz.so.7, at 10.1.2.3:8181",
        ["4.17.21", "v4.17.21", "python 3.99", "python3.99", "libz.so.7", "10.1.2.3", "8181"],
    ),
    "places.md": (
        r"See https://wiki.example.org/path/page.html?query=term#part, ada@lovelace.example, C:\Windows\System32",
        ["https://wiki.example.org/path/page.html", "page.html", "wiki", "ada@lovelace.example", r"windows\system32"],
    ),
    "options.md": (
        "java -Xmx512m -Dfile.encoding=UTF-8; npm install --save-dev; gcc -O2 -Wall; $_.CPU -gt 100",
        ["-Xmx512m", "-Dfile.encoding", "--save-dev", "gcc -Wall", "-O2", "$_.CPU"],
    ),
    "ligatures.md": (
        "Æsop, œuvre, Straße, Ångström, İstanbul, Αθήνα, H₂O",
        ["Aesop", "oeuvre", "STRASSE", "Angstrom", "istanbul", "ΑΘΗΝΑ", "h2o"],
    ),
    "mixed.md": (
        "使用 SQLite 3 进行离线搜索（BM42）。Python入門",
        ["SQLite", "离线搜索", "BM42", "sqlite离线搜索", "入門", "Python"],
    ),
    "who.md": ("The Who played in Leeds.", ['"The Who"', "“The Who”", '"the who"']),
    "chinese.md": ("全文检索需要分词。", ["全文检索", "分词", "检索", "全", "词", '"全文检索"', "全文检索是什么"]),
    "tokyo.md": ("東京都の人口", ["東京都", "人口", "東京"]),
    "kyoto.md": ("京都の寺院", ["京都", "寺院"]),
    "japanese.md": ("ファイルを閉じるにはデータベースが必要です。", ["ファイル", "データベース", "閉じる", "ﾌｧｲﾙ"]),
    "thai.md": ("การค้นหาข้อความในเอกสาร", ["ค้นหา", "ข้อความ", "เอกสาร"]),
    "korean.md": (
        "데이터베이스를 연다",
        ["데이터베이스", "데이터베이스는", "연다", unicodedata.normalize("NFD", "데이터")],
    ),
    "khmer.md": ("ការស្វែងរកឯកសារ", ["ស្វែងរក", "ឯកសារ"]),
    "stacked.md": ("ក្រក្រសាភាសា", ["ក្រក្រសា", "ភាសា", "ក្រ"]),
    "burmese.md": ("မြန်မာဘာသာစကား", ["မြန်မာ", "ဘာသာ", "စကား"]),
    "lao.md": ("ການຄົ້ນຫາເອກະສານ", ["ຄົ້ນຫາ", "ເອກະສານ"]),
    "arabic.md": ("كِتَابٌ جديد", ["كتاب", "كتـــاب"]),
    "hindi.md": ("हिन्दी में खोज", ["हिन्दी", "खोज"]),
}


@pytest.fixture(scope="module")
def words_connection(engines: dict[str, Engine]) -> Iterator[Connection]:
    with engines["embedded"].connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def engines(locale_engines: dict[str, Engine]) -> dict[str, Engine]:
    """A database of each locale with all texts."""
    for engine in locale_engines.values():
        write_corpus(engine, {path: written for path, (written, _) in CASES.items()})
    return locale_engines


@pytest.fixture(params=LOCALES)
def words(request: pytest.FixtureRequest, engines: dict[str, Engine]) -> Engine:
    return engines[request.param]


@pytest.mark.parametrize("path", CASES)
def test_a_query_finds_what_it_names(words: Engine, path: str) -> None:
    for query in CASES[path][1]:
        assert search_paths(words, query)[:1] == [path], query


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("東京都", ["tokyo.md"]),
        ("C++", ["plus.md"]),
        ("C#", ["sharp.md"]),
        (".NET", ["aspnet.md", "net.md"]),
        ("C", ["c.md", "places.md"]),
        ('"who the"', []),
        ('"文检全"', []),
    ],
)
def test_a_query_finds_nothing_else(words: Engine, query: str, found: list[str]) -> None:
    assert sorted(search_paths(words, query)) == found


def test_an_accent_free_form_ranks_behind_the_exact_one(engine: Engine) -> None:
    write_corpus(
        engine, {"with.md": "Jalapeño", "without.md": "jalapeno", "both.md": "jalapeño or Jalapeno", "no.md": "x"}
    )
    assert dict(search_scores(engine, "jalapeño")).keys() == {"with.md", "without.md", "both.md"}
    for query, exact, other in (("jalapeño", "with.md", "without.md"), ("JALAPENO", "without.md", "with.md")):
        scores = dict(search_scores(engine, query))
        assert scores[exact] > scores[other] > 0


def test_a_phrase_is_found_with_and_without_its_accents(locale_engine: Engine) -> None:
    texts = {
        "with.md": "le café noir",
        "without.md": "le cafe noir",
        "apart.md": "un noir café, cafe",
        "one.md": "The Élan of the crowd",
    }
    write_corpus(locale_engine, texts)
    assert search_paths(locale_engine, '"café noir"') == ["with.md", "without.md"]
    assert search_paths(locale_engine, '"CAFE noir"') == ["without.md", "with.md"]
    assert search_paths(locale_engine, '"the elan of the"') == ["one.md"]
    assert search_paths(locale_engine, 'noir -"cafe noir"') == ["with.md", "apart.md"]
    assert search_paths(locale_engine, '"noir cafe"') == ["apart.md"]


def test_the_score_of_a_word_with_accents_is_bm25(engine: Engine) -> None:
    """The marked form, which such a chunk has as well, adds nothing."""
    words = {"a.md": "café bar", "b.md": "bar bar", "c.md": "crêpe"}
    write_corpus(engine, words)
    with_accent = dict(search_scores(engine, "café"))
    write_corpus(engine, {path: written.replace("café", "cafx") for path, written in words.items()})
    assert with_accent == pytest.approx(dict(search_scores(engine, "cafx")))


def test_a_stemmer_that_removes_accents_counts_a_word_once(engine: Engine) -> None:
    write_corpus(engine, {"a.txt": "die Häuser", "b.txt": "die Hauser"}, language="german")
    assert [round(score, 6) for _, score in search_scores(engine, "Häuser")] == [
        round(score, 6) for _, score in search_scores(engine, "Hauser")
    ]
    assert len({score for _, score in search_scores(engine, "Haus")}) == 1


PLAIN_TYPES = (
    {"asciiword", "word", "numword", "uint", "float", "version", "blank"}
    | {f"{kind}{name}" for kind in ("ascii", "", "num") for name in ("hword", "part")}
    | {f"hword_{kind}part" for kind in ("ascii", "", "num")}
)


@hypothesis.given(hypothesis.strategies.text(max_size=60))
@hypothesis.example(
    "https://a.b/c?d=e&f=g#h me@x.org /usr/lib a.b.c v1.2.3 -5 +5 1e-5 1.5e3 <b>x</b> &amp; &x; 3d-model 1-a a-1"
)
def test_the_parser_sees_only_words_and_numbers(words_connection: Connection, given: str) -> None:
    found = words_connection.scalars(
        text(
            "SELECT DISTINCT y.alias FROM ts_parse('default', rag.normalize_words(:given)) t "
            "JOIN ts_token_type('default') y USING (tokid)"
        ),
        {"given": given.replace("\0", "")},
    ).all()
    assert set(found) <= PLAIN_TYPES


def test_a_name_that_texts_have_is_not_searched_by_its_parts(engine: Engine) -> None:
    write_corpus(engine, {"whole.md": "NumPy", "parts.md": "a num and a py", "snake.md": "read_text_file"})
    assert search_paths(engine, "NumPy") == ["whole.md"]
    assert search_paths(engine, "ReadTextFile") == ["snake.md"]


@pytest.mark.parametrize(
    "unknown", [" ".join(f"unknown{n}" for n in range(200)), "".join(map(chr, range(0x4E00, 0x4F00)))]
)
def test_a_page_as_a_query_finds_what_it_shares_with_texts(engine: Engine, unknown: str) -> None:
    write_corpus(engine, {"a.md": "a quokka", "b.md": "全文检索", "c.md": "a river"})
    assert search_paths(engine, f"{unknown} quokka") == ["a.md"]
    assert search_paths(engine, f"{unknown}，检索") == ["b.md"]


def test_a_negative_number_ranks_before_the_positive_one(engine: Engine) -> None:
    write_corpus(engine, {"a.md": "it is 42", "b.md": "it is -42", "c.md": "it is 42"})
    assert search_paths(engine, "-42")[0] == "b.md"
    assert sorted(search_paths(engine, "42")) == ["a.md", "b.md", "c.md"]


def test_every_character_makes_the_same_words(engines: dict[str, Engine]) -> None:
    """Between letters and alone, each character joins or separates in the same way, whatever the locale."""
    # Of the many ideographs and syllables, some.
    points = {*range(33, 0x20000)} - {*range(0x3400, 0xA000)} - {*range(0xAC00, 0xD7A4)} - {*range(0x12000, 0x1B000)}
    points |= {*range(0x3400, 0x20000, 97)}
    known = sorted(point for point in points if unicodedata.category(chr(point)) not in ("Cn", "Cs"))
    texts = [
        " ".join(f"a{chr(point)}b{point} {chr(point)} 全{chr(point)}文" for point in known[at : at + 500])
        for at in range(0, len(known), 500)
    ]
    statement = text(
        "SELECT rag.word_vector('simple', given)::text FROM unnest(CAST(:texts AS text[])) WITH ORDINALITY "
        "AS texts (given, number) ORDER BY number"
    )
    found = []
    for engine in engines.values():
        with engine.connect() as connection:
            found.append(connection.scalars(statement, {"texts": texts}).all())
    assert found[1] == found[0]
    assert found[2] == found[0]
