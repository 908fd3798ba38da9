"""Define what a word is, whatever the database's locale: normalize texts and headers before they are parsed."""

from collections.abc import Iterator

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

LOCKS = {"document_chunks": "rewritten with other word vectors, while nothing searches or ingests"}

# Code points in hexadecimal, from Unicode 14: uppercase letters with the distance to their lowercase (`/2`: every other
# one); punctuation, symbols, spaces and control characters; marks on letters. `lower` and the character classes of the
# database would depend on its locale.
UPPERCASE = """
c0-d6+32 d8-de+32 100-12e/2+1 134-136/2+1 139-13d/2+1 141-147/2+1 14a-176/2+1 178-121 179-17d/2+1 181+210
182-184/2+1 186+206 187+1 189-18a+205 18b+1 18e+79 18f+202 190+203 191+1 193+205 194+207 196+211 197+209 198+1
19c+211 19d+213 19f+214 1a0-1a4/2+1 1a6+218 1a7+1 1a9+218 1ac+1 1ae+218 1af+1 1b1-1b2+217 1b3-1b5/2+1 1b7+219
1b8+1 1bc+1 1cd-1db/2+1 1de-1ee/2+1 1f4+1 1f6-97 1f7-56 1f8-21e/2+1 220-130 222-232/2+1 23a+10795 23b+1
23d-163 23e+10792 241+1 243-195 244+69 245+71 246-24e/2+1 370-372/2+1 376+1 37f+116 386+38 388-38a+37 38c+64
38e-38f+63 391-3a1+32 3a3-3ab+32 3cf+8 3d8-3ee/2+1 3f7+1 3fa+1 3fd-3ff-130 400-40f+80 410-42f+32 460-480/2+1
48a-4be/2+1 4c0+15 4c1-4cd/2+1 4d0-52e/2+1 531-556+48 10a0-10c5+7264 10c7+7264 10cd+7264 13a0-13ef+38864
13f0-13f5+8 1c90-1cba-3008 1cbd-1cbf-3008 1e00-1e94/2+1 1e9e-7615 1ea0-1efe/2+1 1f08-1f0f-8 1f18-1f1d-8
1f28-1f2f-8 1f38-1f3f-8 1f48-1f4d-8 1f59-1f5f/2-8 1f68-1f6f-8 1f88-1f8f-8 1f98-1f9f-8 1fa8-1faf-8 1fb8-1fb9-8
1fba-74 1fbc-9 1fc8-1fca/2-86 1fcc-9 1fd8-1fd9-8 1fda-100 1fe8-1fe9-8 1fea-112 1fec-7 1ff8-128 1ffa-126 1ffc-9
2132+28 2183+1 2c00-2c2f+48 2c60+1 2c62-10743 2c63-3814 2c64-10727 2c67-2c6b/2+1 2c6d-10780 2c6e-10749
2c6f-10783 2c70-10782 2c72+1 2c75+1 2c7e-2c7f-10815 2c80-2ce2/2+1 2ceb-2ced/2+1 2cf2+1 a640-a66c/2+1
a680-a69a/2+1 a722-a72e/2+1 a732-a76e/2+1 a779-a77b/2+1 a77d-35332 a77e-a786/2+1 a78b+1 a78d-42280
a790-a792/2+1 a796-a7a8/2+1 a7aa-42308 a7ab-42319 a7ac-42315 a7ad-42305 a7ae-42308 a7b0-42258 a7b1-42282
a7b2-42261 a7b3+928 a7b4-a7c2/2+1 a7c4-48 a7c5-42307 a7c6-35384 a7c7-a7c9/2+1 a7d0+1 a7d6-a7d8/2+1 a7f5+1
10400-10427+40 104b0-104d3+40 10570-1057a+39 1057c-1058a+39 1058c-10592+39 10594-10595+39 10c80-10cb2+64
118a0-118bf+32 16e40-16e5f+32 1e900-1e921+34
"""
SEPARATORS = """
80-a9 ab-b1 b4 b6-b8 bb bf d7 f7 2c2-2c5 2d2-2df 2e5-2eb 2ed 2ef-2ff 375 37a 37e 384-385 387 3f6 482 55a-55f
589-58f 5be 5c0 5c3 5c6 5f3-60f 61b-61f 66a-66d 6d4 6dd-6de 6e9 6fd-6fe 700-70f 7f6-7f9 7fe-7ff 830-83e 85e
888 890-891 8e2 964-965 970 9f2-9fb 9fd a76 af0-af1 b70 b72-b77 bf0-bfa c77-c7f c84 d4f d58-d5e d70-d79 df4
e3f e4f e5a-e5b f01-f17 f1a-f1f f2a-f34 f36 f38 f3a-f3d f85 fbe-fc5 fc7-fda 104a-104f 109e-109f 10fb 1360-137c
1390-1399 1400 166d-166e 1680 169b-169c 16eb-16ed 1735-1736 17d4-17d6 17d8-17db 17f0-180a 180e 1940-1945
19da-19ff 1a1e-1a1f 1aa0-1aa6 1aa8-1aad 1b5a-1b6a 1b74-1b7e 1bfc-1bff 1c3b-1c3f 1c7e-1c7f 1cc0-1cc7 1cd3 1fbd
1fbf-1fc1 1fcd-1fcf 1fdd-1fdf 1fed-1fef 1ffd-206f 207a-207e 208a-208e 20a0-20c0 2100-2101 2103-2106 2108-2109
2114 2116-2118 211e-2123 2125 2127 2129 212e 213a-213b 2140-2144 214a-214d 214f 218a-244a 249c-24b5 24eb-2bff
2ce5-2cea 2cf9-2cff 2d70 2e00-2e2e 2e30-3004 3008-3020 3030 3036-3037 303d-303f 309b-309c 30a0 30fb 3190-3191
3196-319f 31c0-31e3 3248-324f 327f 4dc0-4dff a490-a4c6 a4fe-a4ff a60d-a60f a673 a67e a6f2-a716 a720-a721
a789-a78a a828-a82b a830-a839 a874-a877 a8ce-a8cf a8f8-a8fa a8fc a92e-a92f a95f a9c1-a9cd a9de-a9df aa5c-aa5f
aa77-aa79 aade-aadf aaf0-aaf1 ab5b ab6a-ab6b abeb e000-f8ff fb29 fbb2-fbc2 fd3e-fd4f fdcf fdfc-fdff fe10-fe19
fe30-fe6b feff-ff0f ff1a-ff20 ff3b-ff40 ff5b-ff65 ffe0-fffd 10100-1013f 10175-101fc 102e1-102fb 10320-10323
1039f 103d0 1056f 10857-1085f 10877-1087f 108a7-108af 108fb-108ff 10916-1091f 1093f 109bc-109bd 109c0-109ff
10a40-10a58 10a7d-10a7f 10a9d-10a9f 10ac8 10aeb-10af6 10b39-10b3f 10b58-10b5f 10b78-10b7f 10b99-10baf
10cfa-10cff 10e60-10e7e 10ead 10f1d-10f26 10f51-10f59 10f86-10f89 10fc5-10fcb 11047-11065 110bb-110c1 110cd
11140-11143 11174-11175 111c5-111c8 111cd 111db 111dd-111f4 11238-1123d 112a9 1144b-1144f 1145a-1145d 114c6
115c1-115d7 11641-11643 11660-1166c 116b9 1173a-1173f 1183b 118ea-118f2 11944-11946 119e2 11a3f-11a46
11a9a-11a9c 11a9e-11aa2 11c41-11c45 11c5a-11c71 11ef7-11ef8 11fc0-11fff 12470-12474 12ff1-12ff2 13430-13438
16a6e-16a6f 16af5 16b37-16b3f 16b44-16b45 16b5b-16b61 16e80-16e9a 16fe2 1bc9c 1bc9f-1bca3 1cf50-1d164
1d16a-1d16c 1d173-1d17a 1d183-1d184 1d18c-1d1a9 1d1ae-1d241 1d245-1d378 1d6c1 1d6db 1d6fb 1d715 1d735 1d74f
1d76f 1d789 1d7a9 1d7c3 1d800-1d9ff 1da37-1da3a 1da6d-1da74 1da76-1da83 1da85-1da8b 1e14f 1e2ff 1e8c7-1e8cf
1e95e-1ed3d 1eef0-1f0f5 1f10b-1fbca
"""
MARKS = """
300-36f 483-489 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 610-61a 64b-65f 670 6d6-6dc 6df-6e4 6e7-6e8 6ea-6ed 711
730-74a 7a6-7b0 7eb-7f3 7fd 816-819 81b-823 825-827 829-82d 859-85b 898-89f 8ca-8e1 8e3-903 93a-93c 93e-94f
951-957 962-963 981-983 9bc 9be-9cd 9d7 9e2-9e3 9fe-a03 a3c-a51 a70-a71 a75 a81-a83 abc abe-acd ae2-ae3
afa-b03 b3c b3e-b57 b62-b63 b82 bbe-bcd bd7 c00-c04 c3c c3e-c56 c62-c63 c81-c83 cbc cbe-cd6 ce2-ce3 d00-d03
d3b-d3c d3e-d4d d57 d62-d63 d81-d83 dca-ddf df2-df3 e31 e34-e3a e47-e4e eb1 eb4-ebc ec8-ecd f18-f19 f35 f37
f39 f3e-f3f f71-f84 f86-f87 f8d-fbc fc6 102b-103e 1056-1059 105e-1060 1062-1064 1067-106d 1071-1074 1082-108d
108f 109a-109d 135d-135f 1712-1715 1732-1734 1752-1753 1772-1773 17b4-17d3 17dd 180b-180d 180f 1885-1886 18a9
1920-193b 1a17-1a1b 1a55-1a7f 1ab0-1b04 1b34-1b44 1b6b-1b73 1b80-1b82 1ba1-1bad 1be6-1bf3 1c24-1c37 1cd0-1cd2
1cd4-1ce8 1ced 1cf4 1cf7-1cf9 1dc0-1dff 20d0-20f0 2cef-2cf1 2d7f 2de0-2dff 302a-302f 3099-309a a66f-a672
a674-a67d a69e-a69f a6f0-a6f1 a802 a806 a80b a823-a827 a82c a880-a881 a8b4-a8c5 a8e0-a8f1 a8ff a926-a92d
a947-a953 a980-a983 a9b3-a9c0 a9e5 aa29-aa36 aa43 aa4c-aa4d aa7b-aa7d aab0 aab2-aab4 aab7-aab8 aabe-aabf aac1
aaeb-aaef aaf5-aaf6 abe3-abea abec-abed fb1e fe00-fe0f fe20-fe2f 101fd 102e0 10376-1037a 10a01-10a0f
10a38-10a3f 10ae5-10ae6 10d24-10d27 10eab-10eac 10f46-10f50 10f82-10f85 11000-11002 11038-11046 11070
11073-11074 1107f-11082 110b0-110ba 110c2 11100-11102 11127-11134 11145-11146 11173 11180-11182 111b3-111c0
111c9-111cc 111ce-111cf 1122c-11237 1123e 112df-112ea 11300-11303 1133b-1133c 1133e-1134d 11357 11362-11374
11435-11446 1145e 114b0-114c3 115af-115c0 115dc-115dd 11630-11640 116ab-116b7 1171d-1172b 1182c-1183a
11930-1193e 11940 11942-11943 119d1-119e0 119e4 11a01-11a0a 11a33-11a39 11a3b-11a3e 11a47 11a51-11a5b
11a8a-11a99 11c2f-11c3f 11c92-11cb6 11d31-11d45 11d47 11d8a-11d97 11ef3-11ef6 16af0-16af4 16b30-16b36 16f4f
16f51-16f92 16fe4-16ff1 1bc9d-1bc9e 1cf00-1cf46 1d165-1d169 1d16d-1d172 1d17b-1d182 1d185-1d18b 1d1aa-1d1ad
1d242-1d244 1da00-1da36 1da3b-1da6c 1da75 1da84 1da9b-1daaf 1e000-1e02a 1e130-1e136 1e2ae 1e2ec-1e2ef
1e8d0-1e8d6 1e944-1e94a
"""

# Soft hyphens, zero-width characters, directions and variation selectors; Hebrew points and Arabic vowel signs, which
# few texts have; marks around symbols, and those that the C library does not count as letters.
INVISIBLE = (
    "ad 34f 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 61c 640 64b-65f 670 115f-1160 1715 1734 17b4-17b5 180b-180f 1ab0-1aff "
    "1bf2-1bf3 1ce1 1cf7 1dc0-1dff 200b-200f 202a-202e 2060-206f 20d0-20ff 302e-302f 3164 a9c0 abec fe00-fe0f "
    "fe20-fe2f feff ffa0 111c0 11235 1134d 116b6 1193d 1d165-1d172 e0000-e0fff"
)
# Scripts without spaces between words, and Hangul, whose words have particles: Thai, Lao, Myanmar, Khmer, Chinese,
# Japanese, Korean. Each letter is followed by its marks.
UNSPACED_LETTERS = (
    "e01-e30 e32-e33 e40-e46 e81-eb0 eb2-eb3 ebd ec0-ec6 edc-edf 1000-102a 103f 1050-1055 1780-17b3 17d7 17dc "
    "1100-11ff 3005-3007 3021-3029 3031-3035 303b 3041-3096 309d-309f 30a1-30fa 30fc-30ff 3105-312f 31a0-31bf "
    "31f0-31ff 3400-4dbf 4e00-9fff ac00-d7a3 f900-faff 20000-3ffff"
)
UNSPACED_MARKS = "e31 e34-e3a e47-e4e eb1 eb4-ebc ec8-ece 102b-1038 103a-103e 1056-1059 17b6-17d1 17d3 17dd 3099-309a"
# The next letter is written below the one before these.
STACKING = "1039 17d2"
# Lowercase letters with accents, and some that are written without one where a keyboard lacks them.
ACCENTED = "df-f6 f8-24f 1e00-1eff 300-36f 3ac-3b0 3ca-3ce 1f00-1fff 450-451 45d"
# A letter that no text has after normalization. It marks the accent-free form of a word.
MARK = "\u02bc"

OPEN_ENTITIES = r"""
CREATE FUNCTION rag.open_entities(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    opened text COLLATE "C" := given;
    entity text COLLATE "C";
    code integer;
    names text[] := ARRAY['grave', 'acute', 'circ', 'tilde', 'uml', 'ring', 'cedil', 'caron'];
    marks integer[] := ARRAY[768, 769, 770, 771, 776, 778, 807, 780];
BEGIN
    FOR place IN 1..cardinality(names) LOOP
        opened := regexp_replace(opened, '&([A-Za-z])' || names[place] || ';', '\1' || chr(marks[place]), 'g');
    END LOOP;
    FOR entity IN SELECT DISTINCT (regexp_matches(opened, '&#([0-9]{1,7}|[xX][0-9a-fA-F]{1,6});', 'g'))[1] LOOP
        code := CASE WHEN entity ~ '^[xX]' THEN ('x' || lpad(substr(entity, 2), 8, '0'))::bit(32)::integer
            ELSE entity::integer END;
        opened := replace(opened, '&#' || entity || ';', CASE WHEN code BETWEEN 1 AND 55295 OR
            code BETWEEN 57344 AND 1114111 THEN chr(code) ELSE ' ' END);
    END LOOP;
    opened := regexp_replace(opened, '&(shy|zwj|zwnj|lrm|rlm);', '', 'g');
    opened := regexp_replace(opened, '&(nbsp|ensp|emsp|thinsp|lt|gt|quot|apos|lsquo|rsquo|sbquo|ldquo|rdquo|bdquo|'
        'laquo|raquo|ndash|mdash|minus|hellip|bull|middot|copy|reg|trade|deg|sect|para|euro|pound|yen|cent|times|'
        'divide|plusmn|rarr|larr);', ' ', 'g');
    opened := replace(replace(replace(opened, '&szlig;', 'ß'), '&aelig;', 'æ'), '&AElig;', 'Æ');
    opened := replace(replace(replace(opened, '&oslash;', 'ø'), '&Oslash;', 'Ø'), '&oelig;', 'œ');
    RETURN replace(opened, '&amp;', '&');
END $$
"""

# For texts with other characters than those of ASCII.
FOLD_CHARACTERS = r"""
CREATE FUNCTION rag.fold_characters(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    folded text COLLATE "C" := given;
    capitals text COLLATE "C";
BEGIN
    folded := regexp_replace(folded, '[<invisible>]+', '', 'g');
    -- A formatter's hyphen at the end of a line.
    folded := regexp_replace(folded, '\u2010[ \t\r\n]+(?=[a-z])', '', 'g');
    folded := translate(folded, U&'\2010\2011\05be', '---');
    folded := regexp_replace(folded, '[<separators>]+', ' ', 'g');
    -- A footnote's number and a fraction are words of their own.
    folded := regexp_replace(
        folded, '([\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u00bc-\u00be\u2150-\u215f\u2189]+)', ' \1', 'g'
    );
    folded := translate(normalize(folded, NFKC), U&'\2044\2215\00b7\02bc', '    ');
    capitals := regexp_replace(folded, '[^<capitals>]+', '', 'g');
    IF char_length(capitals) > 100 THEN
        capitals := (SELECT string_agg(DISTINCT letter, '') FROM unnest(string_to_array(capitals, NULL)) AS letter);
    END IF;
    IF capitals <> '' THEN
        folded := translate(folded, capitals, translate(capitals, '<upper>', '<lower>'));
    END IF;
    folded := translate(folded, U&'\0130\03c2', U&'i\03c3');
    IF folded ~ '[<unspaced>]' THEN
        folded := regexp_replace(folded, '([<letters>][<unspaced>]*)', ' \1 ', 'g');
        -- ABCD becomes AB BC CD: each letter but the first and the last is written twice, with a space between.
        folded := regexp_replace(
            folded, '(?<=[<unspaced>])([<letters>](?:[<stacking>][<letters>]|[<marks>])*)(?=[<letters>])', '\1 \1', 'g'
        );
    END IF;
    -- Marks without a letter, which each locale would read in another way.
    RETURN regexp_replace(folded, '(?<![A-Za-z0-9\u0080-\U0010ffff])[<all_marks>]+', '', 'g');
END $$
"""

# Leaves letters, digits, hyphens within words, points within numbers, and spaces: of these, PostgreSQL's parser makes
# the same words in each locale.
PLAIN_WORDS = r"""
CREATE FUNCTION rag.plain_words(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    words text COLLATE "C" := given;
BEGIN
    IF strpos(words, '&') > 0 THEN
        IF words ~ '&(#[0-9xX]|[A-Za-z]+;)' THEN
            words := rag.open_entities(words);
        END IF;
        words := regexp_replace(words, '(?<=[A-Za-z])&(?=[A-Za-z])', '-', 'g');
    END IF;
    IF octet_length(words) > char_length(words) THEN
        words := rag.fold_characters(words);
    END IF;
    -- C++, C#, .NET
    IF words ~ '[A-Za-z0-9](\+\+|#)|\.(NET|Net|net)' THEN
        words := regexp_replace(words, '(?<![A-Za-z0-9])([A-Za-z]{1,2})\+\+(?![A-Za-z+])', '\1plusplus ', 'g');
        words := regexp_replace(words, '([A-Za-z0-9]{3,})\+\+(?![A-Za-z+])', '\1 \1plusplus ', 'g');
        words := regexp_replace(words, '(?<![A-Za-z0-9])([A-Za-z])#(?![A-Za-z#])', '\1sharp ', 'g');
        words := regexp_replace(words, '(?<![A-Za-z0-9.])\.(NET|Net|net)(?![A-Za-z0-9])', ' dotnet ', 'g');
        words := regexp_replace(words, '(?<=[A-Za-z])\.NET(?![A-Za-z0-9])', '.NET dotnet ', 'g');
    END IF;
    IF words ~ '[0-9]\.[0-9]' THEN
        -- The letters beside a version: v1.2, 1.2-rc.
        words := regexp_replace(words, '([A-Za-z\u0080-\U0010ffff])([0-9]+\.[0-9])', '\1 \2', 'g');
        words := regexp_replace(words, '([0-9]\.[0-9]+)-?(?=[A-Za-z\u0080-\U0010ffff])', '\1 ', 'g');
    END IF;
    -- The parser keeps os-path and indexes its parts as well; it would keep os.path, and/or and me@x.org whole.
    words := regexp_replace(
        words, '[./:_@\\]+(?=[A-Za-z\u0080-\U0010ffff])|(?<=[A-Za-z\u0080-\U0010ffff])[/:_@\\]+', '-', 'g'
    );
    words := regexp_replace(
        words,
        '[^A-Za-z0-9\u0080-\U0010ffff \n.-]+|-(?![A-Za-z\u0080-\U0010ffff])|(?<![A-Za-z0-9\u0080-\U0010ffff])-|'
        '\.(?![0-9])|(?<![0-9])\.',
        ' ', 'g'
    );
    RETURN lower(words);
END $$
"""

WITHOUT_ACCENTS = r"""
CREATE FUNCTION rag.without_accents(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    -- The Cyrillic й is a letter of its own, not an accented one.
    words text COLLATE "C" := replace(given, 'й', E'\x01');
BEGIN
    words := regexp_replace(normalize(words, NFD), '[\u0300-\u036f]+', '', 'g');
    words := translate(words, E'øłđħıŧðſ\x01', 'oldhitdsй');
    RETURN replace(replace(replace(replace(words, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th');
END $$
"""

# The words in their order, then what finds them as well: parts of camelCase, numbers with their sign, accent-free forms
# with a mark, and the last letter of each run without spaces, which starts no pair.
NORMALIZE_WORDS = r"""
CREATE FUNCTION rag.normalize_words(given text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    words text COLLATE "C" := rag.plain_words(given);
    source text COLLATE "C" := given;
    more text COLLATE "C" := '';
BEGIN
    IF source ~ '[a-z0-9][A-Z][a-z]|[a-z][a-z][A-Z]|[A-Z][A-Z][a-z][a-z]' THEN
        more := (
            SELECT string_agg(regexp_replace(name[1],
                '(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z][a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z][a-z])', ' ', 'g'), ' ')
            FROM regexp_matches(source, '[A-Za-z0-9]+', 'g') AS name
            -- A longer one is encoded data.
            WHERE char_length(name[1]) <= 80
                AND name[1] ~ '[a-z0-9][A-Z][a-z]|[a-z][a-z][A-Z]|[A-Z][A-Z][a-z][a-z]'
        );
        words := words || coalesce(' ' || lower(more), '');
    END IF;
    IF source ~ '(^|[^A-Za-z0-9)_-])[-\u2212][0-9]' THEN
        -- -4 is found as 4, and before it by -4.
        more := (
            SELECT string_agg('minus' || translate(number[1], '.', 'd'), ' ')
            FROM regexp_matches(source, '(?:^|[^A-Za-z0-9)_-])[-\u2212]([0-9]+(?:\.[0-9]+)?)', 'g') AS number
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
            more := (
                SELECT string_agg(letter[1], ' ')
                FROM regexp_matches(normalize(source, NFKC),
                    '[<unspaced>]([<letters>](?:[<stacking>][<letters>]|[<marks>])*)(?![<unspaced>])', 'g') AS letter
            );
            words := words || coalesce(' ' || more, '');
        END IF;
    END IF;
    RETURN words;
END $$
"""

# A stemmer may remove the accent by itself, as that of German does: then the form with the mark says nothing more.
WORD_VECTOR = r"""
CREATE FUNCTION rag.word_vector(language regconfig, given text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    words text COLLATE "C" := rag.normalize_words(given);
    vector tsvector := to_tsvector(language, words);
    lexemes text[];
BEGIN
    IF strpos(words, '<mark>') > 0 THEN
        lexemes := tsvector_to_array(vector);
        vector := ts_delete(vector, ARRAY(
            SELECT lexeme FROM unnest(lexemes) AS lexeme
            WHERE left(lexeme, 1) = '<mark>' AND substr(lexeme, 2) = ANY (lexemes)
        ));
    END IF;
    RETURN vector;
END $$
"""
FUNCTIONS = (OPEN_ENTITIES, FOLD_CHARACTERS, PLAIN_WORDS, WITHOUT_ACCENTS, NORMALIZE_WORDS, WORD_VECTOR)
NAMES = ("open_entities", "fold_characters", "plain_words", "without_accents", "normalize_words")
HYPHENATED = r"""
CREATE FUNCTION rag.hyphenated(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(
    regexp_replace($1, '[./:_@\\]+(?=[[:alpha:]])|(?<=[[:alpha:]])[/:_@\\]+', '-', 'g'),
    '(?<=[[:alnum:]])-(?=[[:digit:]])', ' ', 'g'
)
"""
COUNT_LEXEMES = """
INSERT INTO rag.lexemes (chunking, language, lexeme, documents)
SELECT s.chunking, s.language, w.word, w.ndoc FROM rag.word_statistics s CROSS JOIN LATERAL ts_stat(format(
    'SELECT tsv FROM rag.document_chunks WHERE chunking = %L AND language = %L::regconfig', s.chunking, s.language
)) w
"""


def upgrade() -> None:
    uppercase = dict(_uppercase())
    values = {
        "invisible": _regex_class(INVISIBLE),
        "separators": _regex_class(SEPARATORS),
        "capitals": "".join(map(_escape, uppercase)),
        "upper": "".join(map(chr, uppercase)),
        "lower": "".join(map(chr, uppercase.values())),
        "letters": _regex_class(UNSPACED_LETTERS),
        "marks": _regex_class(UNSPACED_MARKS),
        "all_marks": _regex_class(MARKS),
        "stacking": _regex_class(STACKING),
        "unspaced": _regex_class(f"{UNSPACED_LETTERS} {UNSPACED_MARKS} {STACKING}"),
        "accented": _regex_class(ACCENTED),
        "mark": MARK,
    }
    for function in FUNCTIONS:
        for name, value in values.items():
            function = function.replace(f"<{name}>", value)
        # Not through SQLAlchemy's text(), which would read `:_` as a parameter.
        op.get_bind().exec_driver_sql(function)
    _replace_tsv("rag.word_vector(language, coalesce(header || '\n'::text, ''::text) || chunk_text)")
    op.execute("DROP FUNCTION rag.hyphenated(text)")
    op.execute("TRUNCATE rag.lexemes, rag.word_statistics")
    # In the order of code points, an index serves prefixes.
    op.execute('ALTER TABLE rag.lexemes ALTER COLUMN lexeme TYPE text COLLATE "C"')
    _count_words()


def downgrade() -> None:
    op.get_bind().exec_driver_sql(HYPHENATED)
    _replace_tsv("to_tsvector(language, rag.hyphenated(chunk_text))")
    op.execute("DROP FUNCTION rag.word_vector(regconfig, text)")
    for name in NAMES:
        op.execute(f"DROP FUNCTION rag.{name}(text)")
    op.execute("TRUNCATE rag.lexemes, rag.word_statistics")
    op.execute('ALTER TABLE rag.lexemes ALTER COLUMN lexeme TYPE text COLLATE "default"')
    _count_words()


def _replace_tsv(expression: str) -> None:
    """In one command, so that the table is rewritten once; inline (MAIN), as since revision 0010."""
    op.execute(
        "ALTER TABLE rag.document_chunks DROP COLUMN tsv, ADD COLUMN tsv tsvector NOT NULL "
        f"GENERATED ALWAYS AS ({expression}) STORED, ALTER COLUMN tsv SET STORAGE MAIN"
    )
    op.create_index("ix_document_chunks_tsv", "document_chunks", ["tsv"], schema="rag", postgresql_using="gin")


def _count_words() -> None:
    op.execute(
        "INSERT INTO rag.word_statistics (chunking, language, chunks, mean_tokens, counted) "
        "SELECT chunking, language, count(*), avg(token_count), '' FROM rag.document_chunks GROUP BY chunking, language"
    )
    op.get_bind().exec_driver_sql(COUNT_LEXEMES.replace("%", "%%"))


def _uppercase() -> Iterator[tuple[int, int]]:
    """(uppercase, lowercase)"""
    for run in UPPERCASE.split():
        sign = "-" if run.rpartition("+")[1] == "" else "+"
        points, _, distance = run.rpartition(sign)
        points, _, step = points.partition("/")
        first, _, last = points.partition("-")
        for point in range(int(first, 16), int(last or first, 16) + 1, int(step or 1)):
            yield point, point + int(sign + distance)


def _regex_class(runs: str) -> str:
    """The inside of a bracket expression."""
    return "".join("-".join(_escape(int(point, 16)) for point in run.split("-")) for run in runs.split())


def _escape(point: int) -> str:
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
