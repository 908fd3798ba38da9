"""Headings of AsciiDoc, Org, LaTeX and MediaWiki."""

import pytest

from rag_assets.documents.markup.latex import decode_latex
from rag_assets.documents.markup.title import find_title
from rag_assets.documents.splitting.outline import parse_outline

ASCIIDOC = """= The *Harbour* Guide
Ana Müller <ana@example.org>
:toc:

Intro.

[#arrival]
== Arrival of `ships`

[source,bash]
----
== not a heading
----

....
= nor this
....

.A block's title
====
Example.
====

=== See https://example.org[the tide table]

Old style
---------

Text.
"""
ORG = """#+TITLE: Harbour notes
#+AUTHOR: Ana

* TODO [#A] Arrival [1/2]                    :ships:port:
text with *bold*
** See [[https://example.org][the /tides/]]
#+BEGIN_SRC sh
* not a heading
#+END_SRC
*bold at the margin* is no heading
* Departure
"""
LATEX = r"""\documentclass{article}
\newcommand{\mysection}[1]{\section{#1}}
\title{The \textbf{Harbour} of Z\"urich\thanks{A grant}}
% \section{Commented out}
\begin{document}
\maketitle
\section{Arrival \& tides\label{sec:arrival}}
Text, see \section*{}.
\subsection[short]{Gr{\"o}{\ss}e of
  the \emph{ships}~2}
\begin{verbatim}
\section{not this}
\end{verbatim}
\section{Costs: 5\,\% of $x$}
\end{document}
"""
MEDIAWIKI = """{{DISPLAYTITLE:Harbour}}
Lead.

== ''Arrival'' of [[Ship|ships]] ==
text = no == heading
<!--
== hidden ==
-->
<syntaxhighlight lang="sh">
== code ==
</syntaxhighlight>
=== Tides === <!-- note -->
<nowiki>
== literal ==
</nowiki>
== Departure ==
"""


@pytest.mark.parametrize(
    ("file_type", "content", "expected"),
    [
        (
            "asciidoc",
            ASCIIDOC,
            [(1, "The Harbour Guide"), (2, "Arrival of ships"), (3, "See the tide table"), (2, "Old style")],
        ),
        ("org", ORG, [(1, "Harbour notes"), (2, "Arrival"), (3, "See the tides"), (2, "Departure")]),
        (
            "latex",
            LATEX,
            [
                (1, "The Harbour of Zürich"),
                (4, "Arrival & tides"),
                (5, "Größe of the ships 2"),
                (4, "Costs: 5% of $x$"),
            ],
        ),
        ("mediawiki", MEDIAWIKI, [(1, "Harbour"), (2, "Arrival of ships"), (3, "Tides"), (2, "Departure")]),
    ],
)
def test_headings_of_a_markup(file_type: str, content: str, expected: list[tuple[int, str]]) -> None:
    outline = parse_outline(content, file_type)
    assert [(heading.level, heading.title) for heading in outline.headings] == expected
    assert find_title(content, file_type) == expected[0][1]
    assert len(outline.fences) >= 1


def test_a_section_of_mediawiki_is_no_title() -> None:
    assert find_title("== History ==\n", "mediawiki") is None


def test_hostile_markup_is_searched_in_linear_time() -> None:
    for file_type in ("asciidoc", "org", "latex", "mediawiki"):
        for piece in (r"\section{", "= ", "* [[", "== ", "<!--", "[[", "{"):
            parse_outline(piece * 20_000, file_type)


def test_accents_of_latex_are_letters_but_for_code() -> None:
    text = r"""Z{\"u}rich, Stra{\ss}e, caf\'e, na\"{\i}ve, \c{c}a, \v{S}koda, \o{}re, a\\"quoted" \d x
\begin{lstlisting}
printf("\"under\"");
\end{lstlisting}
"""
    decoded = decode_latex(text)
    assert decoded.startswith(r"Zürich, Straße, café, naïve, ça, Škoda, øre, a\\" + '"quoted" ' + r"\d x")
    assert r'printf("\"under\"");' in decoded
