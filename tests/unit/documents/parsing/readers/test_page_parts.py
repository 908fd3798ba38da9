import pytest

from rag_assets.documents.parsing.readers.page_parts import is_deeper, parse_page, strip_page

TEXT = "Use the vault to rotate the signing keys every ninety days, then restart the gateway and check the audit log."
MAIN = f"<main><h1>Rotate keys</h1><p>{TEXT}</p></main>"
LINKS = "<ul><li><a href='/'>Linkhome</a></li><li><a href='/x'>Linkother</a></li></ul>"


@pytest.mark.parametrize(
    "part",
    [
        f"<nav>{LINKS}</nav>",
        f"<div role=navigation>{LINKS}</div>",
        f"<aside><h3>On this page</h3>{LINKS}</aside>",
        f"<div class='docs-sidebar left'><h3>On this page</h3>{LINKS}</div>",
        "<ul id='breadcrumbs'><li><a href='/'>Linkhome</a></li></ul>",
        "<footer><p>Copyright 2026 Linkhome Incorporated. All rights reserved.</p></footer>",
        "<div id='footer'>Copyright 2026 Linkhome</div>",
        "<div role=contentinfo>Linkhome</div>",
        "<header><a href='/'>Linkhome</a> The best docs</header>",
        "<div id='cookie-banner'>We use cookies, says Linkhome. <button>Accept all</button></div>",
        "<div id='onetrust-consent-sdk'><div>Linkhome values your privacy <a href='#'>settings</a></div></div>",
        "<div role=dialog aria-label='Cookie consent'>Linkhome cookies <button>OK</button></div>",
        "<div class=layer><p>Wir verwenden Cookies von Linkhome.</p><div><button>Alle akzeptieren</button></div></div>",
        "<aside class=newsletter><p>Subscribe to the letter of Linkhome, once a week, for free.</p></aside>",
        f"<div class=on-this-page><b>On this page</b>{LINKS}</div>",
        "<dialog>Search in Linkhome</dialog>",
        "<div role=dialog class=modal>Choose a region of Linkhome</div>",
        "<a class=skip href='#main'>Skip to Linkhome</a>",
        "<form role=search>Linkhome <input></form>",
        "<template><p>Linkhome</p></template>",
    ],
)
def test_parts_beside_the_text_are_removed(part: str) -> None:
    for page in (f"<body>{part}{MAIN}</body>", f"<body><div>{MAIN}</div>{part}</body>"):
        stripped = strip_page(f"<html><head><title>T</title></head>{page}</html>")
        assert "Linkhome" not in stripped
        assert TEXT in stripped
        assert "Rotate keys" in stripped


@pytest.mark.parametrize(
    "part",
    [
        "<aside class=note>Mind the keepme word: it bites those who forget it in the dark.</aside>",
        "<footer><p>By the author keepme, who has rotated keys since 1998.</p></footer>",
        "<header><h2>keepme</h2></header>",
        "<nav>Before you read on, keepme: this is a paragraph of prose, although it stands in a nav.</nav>",
        "<details><summary>More</summary>keepme</details>",
        "<dl><dt>keepme</dt><dd>kept</dd></dl>",
        "<div class=cookie-consent>The API keepme sets a cookie.</div>",
        "<div role=tabpanel hidden>keepme</div>",
        "<button aria-controls=x>More</button><div id=x style='display: none'>keepme</div>",
        "<div class=accordion-body style='display:none'>keepme</div>",
        "<p>See <a href='#a'>keepme</a></p>",
        "<section id=menu><h2>Menu</h2><p>Soup keepme of the day, bread and butter</p></section>",
    ],
)
def test_parts_of_the_main_text_stay(part: str) -> None:
    page = f"<body><nav>{LINKS}</nav><main><h1>Rotate keys</h1><p>{TEXT}</p>{part}</main></body>"
    stripped = strip_page(page)
    assert "keepme" in stripped
    assert "Linkhome" not in stripped


@pytest.mark.parametrize(
    "body",
    [
        f"<main><h1>Slogan</h1></main><div><p>{TEXT} keepme</p></div><footer>Linkhome</footer>",
        f"<header><h1>keepme</h1></header><div><p>{TEXT}</p></div><footer>Linkhome</footer>",
        f"<div id=content><p>{TEXT} keepme</p></div><div class=footer>Linkhome</div>",
        f"<article><p>short</p></article><section><p>{TEXT} keepme</p></section><nav>{LINKS}</nav>",
        f"<div><p>{TEXT}</p><aside>An aside keepme of a page without a main.</aside></div><nav>{LINKS}</nav>",
        f"<nav>{LINKS}<main><p>{TEXT} keepme</p></main>",
        f"<main><p>{TEXT}</p></main><aside><p>An aside of prose beside the main part, keepme.</p></aside>",
        f"<header><p>keepme {TEXT}</p></header><main><p>{TEXT}</p></main>",
        f"<div><p>keepme: cookies are sweet. {TEXT}</p><form><button>Accept</button></form></div>",
    ],
)
def test_text_outside_of_a_main_part_stays(body: str) -> None:
    assert "keepme" in strip_page(f"<html><body>{body}</body></html>")


def test_a_page_that_is_a_list_of_links_stays() -> None:
    page = f"<body><nav><h1>Index</h1>{LINKS * 20}</nav></body>"
    assert strip_page(page).count("Linkhome") == 20
    assert "Linkhome" in strip_page(f"<body><nav>{LINKS * 20}</nav><p>Index</p></body>")


def test_a_page_without_such_parts_is_unchanged() -> None:
    page = f"<html><body><h1>T</h1><p>{TEXT}</p></body></html>"
    assert strip_page(page) is page


def test_the_sign_beside_a_heading_is_removed() -> None:
    page = f"<body><nav>{LINKS}</nav><h1 id=a>Keys<a class=headerlink href='#a'>¶</a></h1><p>{TEXT}</p></body>"
    assert "¶" not in strip_page(page)


def test_empty_elements_of_xhtml_do_not_hold_the_rest() -> None:
    page = f'<?xml version="1.0"?><html><head><script src="x"/></head><body><nav>{LINKS}</nav><p>{TEXT}</p></body>'
    assert TEXT in strip_page(page)


def test_text_of_a_shadow_root_stays() -> None:
    page = f"<body><nav>{LINKS}</nav><x-card><template shadowrootmode=open><p>{TEXT}</p></template></x-card></body>"
    assert TEXT in strip_page(page)


@pytest.mark.parametrize("depth", [100, 1000])
def test_deep_pages_are_stripped(depth: int) -> None:
    page = f"<body><nav>{LINKS}</nav>{'<div>' * depth}<p>{TEXT}</p>{'</div>' * depth}</body>"
    assert TEXT in strip_page(page)


def test_hidden_panels_are_shown_and_other_hidden_text_is_not() -> None:
    page = f"<main><p>{TEXT}</p><div role=tabpanel hidden>npm</div><p hidden>draft</p></main>"
    stripped = strip_page(page)
    assert '<div role="tabpanel">npm</div>' in stripped
    assert "<p hidden" in stripped


def test_what_stands_twice_or_beside_a_heading_is_removed() -> None:
    page = f"<main><h2>Growth<span class=mw-editsection>[edit]</span></h2><p>{TEXT}</p></main>"
    assert "[edit]" not in strip_page(page)
    assert strip_page("<p>a</p><button>Go</button><button>Now</button>").count("> <button") == 1


def test_the_text_for_browsers_without_scripts_is_read_where_there_is_no_other() -> None:
    page = f"<body><noscript><p>{TEXT} {TEXT}</p></noscript><div id=app></div><script src=x.js></script></body>"
    assert f"<div><p>{TEXT}" in strip_page(page)
    assert TEXT not in strip_page(f"<body><nav>{LINKS}</nav><p>{'words ' * 30}</p><noscript>{TEXT}</noscript></body>")


def test_nested_parts_are_freed_once() -> None:
    nested = "<noscript><style>x</style><div><svg></svg><template><script>y</script></template></div></noscript>"
    both = f"<div class=sidebar role=navigation><nav class=navbar>{LINKS}</nav><aside class=toc>{LINKS}</aside></div>"
    for _ in range(200):
        assert TEXT in strip_page(f"<body>{nested}{both}<main><p>{TEXT}</p>{nested}</main>{both}</body>")


def test_the_depth_of_a_page_is_that_of_its_tree() -> None:
    # The links are never closed, and yet none stands in another.
    flat = parse_page(f"<div id=a>{'<a href=/>x ' * 100}</div>")
    deep = parse_page(f"<p id=a>{'<div>' * 60}x")

    assert flat is not None
    assert deep is not None
    assert (is_deeper(flat, 10), is_deeper(deep, 48), is_deeper(deep, 60)) == (False, True, False)
