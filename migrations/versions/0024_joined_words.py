"""Find compounds by their joined form, e-mail by email, and normalize texts in half the time."""

import importlib.util
from pathlib import Path
from types import ModuleType

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

LOCKS = {"document_chunks": "rewritten with other word vectors, while nothing searches or ingests"}

# For texts with other characters than those of ASCII. As in 0020, with cheaper steps: what a text does not have is
# looked for before it is replaced, and the pairs of letters are made without looking around each letter.
FOLD_CHARACTERS = r"""
CREATE OR REPLACE FUNCTION rag.fold_characters(given text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    folded text COLLATE "C" := regexp_replace(given, '[<invisible>]+', '', 'g');
    capitals text COLLATE "C";
BEGIN
    IF folded ~ '[\u2010\u2011\u05be]' THEN
        -- A formatter's hyphen at the end of a line.
        folded := regexp_replace(folded, '\u2010[ \t\r\n]+(?=[a-z])', '', 'g');
        folded := translate(folded, U&'\2010\2011\05be', '---');
    END IF;
    folded := regexp_replace(folded, '[<separators>]+', ' ', 'g');
    IF octet_length(folded) = char_length(folded) THEN
        RETURN folded;
    END IF;
    -- A footnote's number and a fraction are words of their own.
    folded := regexp_replace(
        folded, '[\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u00bc-\u00be\u2150-\u215f\u2189]+', ' \&', 'g'
    );
    IF folded IS NOT NFKC NORMALIZED THEN
        folded := normalize(folded, NFKC);
    END IF;
    IF folded ~ '[\u2044\u2215\u00b7\u02bc]' THEN
        folded := translate(folded, U&'\2044\2215\00b7\02bc', '    ');
    END IF;
    capitals := regexp_replace(folded, '[^<capitals>]+', '', 'g');
    IF char_length(capitals) > 100 THEN
        capitals := (SELECT string_agg(DISTINCT letter, '') FROM unnest(string_to_array(capitals, NULL)) AS letter);
    END IF;
    IF capitals <> '' THEN
        folded := translate(folded, capitals, translate(capitals, '<upper>', '<lower>'));
    END IF;
    IF folded ~ '[\u0130\u03c2]' THEN
        folded := translate(folded, U&'\0130\03c2', U&'i\03c3');
    END IF;
    IF folded ~ '[<unspaced>]' THEN
        -- Each run of these letters between two control characters.
        folded := regexp_replace(
            translate(folded, U&'\0001\0002', '  '), '[<letters>][<unspaced>]*', U&' \0001' || '\&' || U&'\0002 ', 'g'
        );
        -- ABCD becomes AB BC CD: each letter but the last is written twice with a space between, and the first word of
        -- A AB BC CD is left out.
        folded := regexp_replace(
            folded, '[<letters>](?:[<stacking>][<letters>]|[<marks>])*(?=[<letters>])', '\& \&', 'g'
        );
        folded := translate(regexp_replace(folded, '\u0001[<unspaced>]+ ', '', 'g'), U&'\0001\0002', '');
    END IF;
    -- Marks without a letter, which each locale would read in another way.
    RETURN regexp_replace(folded, '(?<![A-Za-z0-9\u0080-\U0010ffff])[<all_marks>]+', '', 'g');
END $$
"""

WITHOUT_ACCENTS = r"""
CREATE OR REPLACE FUNCTION rag.without_accents(given text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    -- The Cyrillic й is a letter of its own, not an accented one.
    words text COLLATE "C" := replace(given, 'й', E'\x01');
BEGIN
    words := regexp_replace(normalize(words, NFD), '[\u0300-\u036f]+', '', 'g');
    IF words ~ '[øłđħıŧðſ\x01ßæœþ]' THEN
        words := translate(words, E'øłđħıŧðſ\x01', 'oldhitdsй');
        words := replace(replace(replace(replace(words, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
    END IF;
    RETURN words;
END $$
"""

# The words in their order, then what finds them as well: parts of camelCase, numbers with their sign and without
# separators of thousands, with a mark the accent-free forms and the joined forms of compounds, and the last letter of
# each run without spaces, which starts no pair.
NORMALIZE_WORDS = r"""
CREATE OR REPLACE FUNCTION rag.normalize_words(given text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    words text COLLATE "C" := rag.plain_words(given);
    source text COLLATE "C" := given;
    more text COLLATE "C" := '';
    compounds text COLLATE "C" := words;
BEGIN
    IF source ~ '[a-z0-9][A-Z][a-z]|[a-z][a-z][A-Z]|[A-Z][A-Z][a-z][a-z]' THEN
        more := (
            SELECT lower(string_agg(regexp_replace(name[1],
                '(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z][a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z][a-z])', '-', 'g'), ' '))
            FROM regexp_matches(source,
                '[A-Za-z0-9]*(?:[a-z0-9][A-Z][a-z]|[a-z][a-z][A-Z]|[A-Z][A-Z][a-z][a-z])[A-Za-z0-9]*', 'g') AS name
            -- A longer one is encoded data.
            WHERE char_length(name[1]) <= 80
        );
        compounds := concat_ws(' ', words, more);
        words := concat_ws(' ', words, translate(more, '-', ' '));
    END IF;
    IF source ~ '(^|[^A-Za-z0-9)_-])[-\u2212][0-9]' THEN
        -- -4 is found as 4, and before it by -4.
        more := (
            SELECT string_agg('minus' || translate(number[1], '.', 'd'), ' ')
            FROM regexp_matches(source, '(?:^|[^A-Za-z0-9)_-])[-\u2212]([0-9]+(?:\.[0-9]+)?)', 'g') AS number
        );
        words := words || coalesce(' ' || more, '');
    END IF;
    IF source ~ '[0-9][<grouping>][0-9]{3}(?![0-9])' THEN
        -- 1,234.56 and 1.234,56 are found as 1234.56; 1.234 may be a version.
        more := (
            SELECT string_agg(concat_ws('.', translate(number[1], '<grouping>', ''), number[2]), ' ')
            FROM regexp_matches(source, '(?:^|[^0-9.,])([0-9]{1,3}(?:<groups>))(?:[.,]([0-9]+))?'
                '(?![0-9]|[.,][0-9])', 'g') AS number
            WHERE number[2] IS NOT NULL OR number[1] !~ '^[0-9]+\.[0-9]+$'
        );
        words := words || coalesce(' ' || more, '');
    END IF;
    IF octet_length(words) > char_length(words) THEN
        IF words ~ '[<accented>]' THEN
            more := (
                SELECT string_agg('<mark>' || word, ' ')
                FROM unnest(string_to_array(translate(words, E'-\n', '  '), ' ')) AS word
                WHERE octet_length(word) > char_length(word) AND char_length(word) > 1 AND word ~ '[<accented>]'
            );
            words := words || coalesce(' ' || rag.without_accents(more), '');
        END IF;
        IF words ~ '[<unspaced>]' THEN
            -- The pair at the end of a run is followed by a space that no letter follows. Read from the end, few places
            -- begin like that.
            more := (
                SELECT reverse(string_agg(substr(pair[1], 3, char_length(pair[1]) - 3), ' '))
                FROM regexp_matches('  ' || reverse(words),
                    '[^<letters>] (?:[<marks>]|[<letters>][<stacking>])*[<letters>][<letters><marks>]', 'g') AS pair
            );
            words := words || coalesce(' ' || more, '');
        END IF;
    END IF;
    IF strpos(compounds, '-') > 0 THEN
        -- Compounds of more parts are paths, and joined forms of three letters other words. A pattern that looks behind
        -- itself would read all that is before each match.
        more := (
            SELECT string_agg('<mark>' || pair.one || pair.other, ' ')
            FROM regexp_matches(
                compounds,
                '(?:^|[^a-z0-9.\u0080-\U0010ffff-])(<part>(?:-<part>){1,3})(?![a-z0-9\u0080-\U0010ffff-])', 'g'
            ) AS compound, string_to_array(compound[1], '-') AS parts, unnest(parts, parts[2:]) AS pair (one, other)
            WHERE char_length(pair.one || pair.other) > 3
        );
        words := words || coalesce(' ' || more, '');
    END IF;
    RETURN words;
END $$
"""
FUNCTIONS = (FOLD_CHARACTERS, WITHOUT_ACCENTS, NORMALIZE_WORDS)


def upgrade() -> None:
    words = _earlier()
    _create(FUNCTIONS)
    words._replace_tsv("rag.word_vector(language, coalesce(header || '\n'::text, ''::text) || chunk_text)")
    op.execute("TRUNCATE rag.lexemes, rag.word_statistics")
    words._count_words()


def downgrade() -> None:
    words = _earlier()
    functions = (function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION") for function in words.FUNCTIONS)
    _create(tuple(functions))
    words._replace_tsv("rag.word_vector(language, coalesce(header || '\n'::text, ''::text) || chunk_text)")
    op.execute("TRUNCATE rag.lexemes, rag.word_statistics")
    words._count_words()


def _create(functions: tuple[str, ...]) -> None:
    words = _earlier()
    uppercase = dict(words._uppercase())
    values = {
        "invisible": words._regex_class(words.INVISIBLE),
        "separators": words._regex_class(words.SEPARATORS),
        "capitals": "".join(map(words._escape, uppercase)),
        "upper": "".join(map(chr, uppercase)),
        "lower": "".join(map(chr, uppercase.values())),
        "letters": words._regex_class(words.UNSPACED_LETTERS),
        "marks": words._regex_class(words.UNSPACED_MARKS),
        "all_marks": words._regex_class(words.MARKS),
        "stacking": words._regex_class(words.STACKING),
        "unspaced": words._regex_class(f"{words.UNSPACED_LETTERS} {words.UNSPACED_MARKS} {words.STACKING}"),
        "accented": words._regex_class(words.ACCENTED),
        "mark": words.MARK,
        # A comma, a point, an apostrophe, and spaces that do not break.
        "grouping": ",.''\u2019\u00a0\u202f\u2009",
        "groups": "|".join(f"(?:[{sign}][0-9]{{3}})+" for sign in (",", ".", "''\u2019", "\u00a0\u202f\u2009")),
        "part": r"[a-z\u0080-\U0010ffff]{1,20}",
    }
    for function in functions:
        for name, value in values.items():
            function = function.replace(f"<{name}>", value)
        # Not through SQLAlchemy's text(), which would read `:_` as a parameter.
        op.get_bind().exec_driver_sql(function)


def _earlier() -> ModuleType:
    """Revision 0020, which has the classes of characters."""
    spec = importlib.util.spec_from_file_location("words_0020", Path(__file__).with_name("0020_words.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
