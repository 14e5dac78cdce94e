"""Small files as Tatoeba, BUCC, LAReQA, Mewsli-X and the treebanks were published, below ``raw/`` of a data folder.

Made up, and the same on every call. A sentence and its translation are one text in both languages, so that any encoder
finds it; all others differ.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xharness.tasks.registry import load_task

LAREQA = tuple(load_task("lareqa").languages)
WORDS = ["the", "house", "train", "cold", "film", "river", "night", "bread", "old", "new", "sees", "takes", "gives"]
WORDS += ["station", "winter", "boat", "child", "song"]
GERMAN = ["das", "Haus", "Zug", "kalt", "Fluss", "Nacht", "Brot", "alt", "neu", "sieht", "nimmt", "gibt", "Bahnhof"]
GERMAN += ["Winter", "Boot", "Kind", "Lied", "Garten"]


def sentence(chance: random.Random, words: Sequence[str], length: int = 7) -> str:
    """Return a sentence of words by chance."""
    return " ".join(chance.choice(words) for _ in range(length)).capitalize() + "."


def write(path: Path, lines: Iterable[str]) -> Path:
    """Write lines, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return path


# --- Tatoeba --------------------------------------------------------------------------------------------------------


def write_tatoeba(raw: Path, alias: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Write pairs (sentence, English sentence) as LASER publishes them."""
    texts, english = zip(*pairs, strict=True)
    write(raw / f"LASER/tatoeba/v1/tatoeba.{alias}-eng.{alias}", texts)
    write(raw / f"LASER/tatoeba/v1/tatoeba.{alias}-eng.eng", english)


# --- BUCC 2018 ------------------------------------------------------------------------------------------------------


def bucc_split(chance: random.Random, language: str, size: int, gold: int) -> dict[str, list[tuple[str, str]]]:
    """Return the three files of a split as lines of two columns.

    Of ``size`` sentences ``gold`` are translations. On both sides two lines repeat others: one of a sentence that has
    no translation, one of a sentence that has one, so that this pair cannot be told and is lost.
    """
    shared = [sentence(chance, WORDS, 9) for _ in range(gold)]
    files = {}
    places = {}
    for side, words in ((language, GERMAN), ("en", WORDS)):
        texts = [*shared, *(sentence(chance, words) for _ in range(size - gold))]
        chance.shuffle(texts)
        places[side] = [texts.index(text) for text in shared]
        alone = next(text for text in texts if text not in shared)
        texts += [alone, shared[0] if side == "en" else f"{alone} "]
        files[side] = [(f"{side}-{place:09}", text) for place, text in enumerate(texts, start=1)]
    pairs = [(files[language][a][0], files["en"][b][0]) for a, b in zip(places[language], places["en"], strict=True)]
    return {**files, "gold": sorted(pairs)}


def write_bucc(raw: Path, language: str = "de", size: int = 40, gold: int = 8, splits: Any = ("training", "sample")):
    """Write the corpora as the organizers pack them; ``training`` is the benchmark's test set, ``sample`` its dev."""
    made = {}
    for split in splits:
        made[split] = bucc_split(random.Random(f"{language} {split}"), language, size, gold)
        for ending, lines in made[split].items():
            path = raw / f"bucc2018/{language}-en/{language}-en.{split}.{ending}"
            write(path, ("\t".join(columns) for columns in lines))
    return made


# --- LAReQA ---------------------------------------------------------------------------------------------------------


def lareqa_article(language: str, paragraphs: int = 3) -> dict[str, Any]:
    """Return an article of XQuAD-R: paragraphs of three sentences, two questions on each; ids are those of English."""
    chance = random.Random(language)
    made = []
    for number in range(paragraphs):
        sentences = [f"{sentence(chance, GERMAN if language == 'de' else WORDS, 5)} {language}." for _ in range(3)]
        context, breaks = "", []
        for text in sentences:
            context += " " if context else ""
            breaks.append([len(context), len(context) + len(text)])
            context += text
        asked = [
            {
                "id": f"q{number}{place}",
                "question": f"{language} {sentence(chance, WORDS, 4)[:-1]}?",
                "answers": [{"text": sentences[place].split()[1], "answer_start": breaks[place][0] + 2}],
            }
            for place in (0, 2)
        ]
        made.append({"context": context, "qas": asked, "sentence_breaks": breaks, "sentences": sentences})
    return {"title": "Made_up", "paragraphs": made}


def write_lareqa(raw: Path, languages: Iterable[str] = LAREQA, paragraphs: int = 3) -> None:
    """Write a file of XQuAD-R for each language: the same questions, nine sentences."""
    for language in languages:
        content = {"data": [lareqa_article(language, paragraphs)], "version": "1.1"}
        path = raw / f"google-research-datasets/lareqa/xquad-r/{language}.json"
        write(path, [json.dumps(content, ensure_ascii=False)])


# --- Mewsli-X -------------------------------------------------------------------------------------------------------


def mewsli_page(language: str, number: int, entities: int) -> dict[str, Any]:
    """Return a page of news with two mentions in its second sentence."""
    chance = random.Random(f"{language} {number}")
    names = [f"{chance.choice(GERMAN).capitalize()}{language}" for _ in range(2)]
    first = sentence(chance, WORDS)
    second = f"In {names[0]} {{ {chance.choice(WORDS)} }} and {names[1]} it is {chance.choice(WORDS)}."
    text, start = f"{first} {second}", len(first) + 1
    mentions, after = [], start
    for place, name in enumerate(names):
        after = text.index(name, after)
        mentions.append(
            {
                "example_id": f"{language}{number}{place}",
                "mention_span": {"start": after, "end": after + len(name), "text": name},
                "entity_id": f"Q{chance.randrange(entities)}",
                "metadata": {},
            }
        )
        after += len(name)
    context = {
        "document_title": "Made up",
        "document_url": "https://example.org",
        "document_id": f"{language}-{number}",
        "language": language,
        "text": text,
        "sentence_spans": [{"start": 0, "end": len(first)}, {"start": start, "end": len(text)}],
        "section_title": "",
    }
    return {"context": context, "mentions": mentions}


def write_mewsli(raw: Path, languages: Sequence[str] = ("de", "en", "fa"), pages: int = 3, entities: int = 24) -> None:
    """Write mentions of all languages, mixed in one file per split, and the entities that they are looked for among."""
    for split in ("test", "dev"):
        rows = [mewsli_page(code, number, entities) for number in range(pages) for code in languages]
        write(raw / f"mewsli-x/wikinews_mentions-{split}.jsonl", (json.dumps(r, ensure_ascii=False) for r in rows))
    chance = random.Random(0)
    rows = []
    for number in range(entities):
        texts = [sentence(chance, GERMAN if number % 2 else WORDS) for _ in range(3)]
        ends = [len(texts[0]), len(texts[0]) + 1 + len(texts[1])]
        spans = [{"start": 0, "end": ends[0]}, {"start": ends[0] + 1, "end": ends[1]}]
        rows.append(
            {
                "entity_id": f"Q{number}",
                "title": f"Title {number}",
                "description": " ".join(texts),
                "sentence_spans": spans,
                "description_language": "de" if number % 2 else "en",
                "description_url": "https://example.org",
            }
        )
    write(raw / "mewsli-x/candidate_set_entities.jsonl", (json.dumps(r, ensure_ascii=False) for r in rows))


# --- UDPOS ----------------------------------------------------------------------------------------------------------

CONLLU = """\
# sent_id = 1
# text = Zum Haus geht das Kind.
1-2\tZum\t_\t_\t_\t_\t_\t_\t_\t_
1\tZu\tzu\tADP\tAPPR\t_\t3\tcase\t_\t_
2\tdem\tder\tDET\tART\t_\t3\tdet\t_\t_
3\tHaus\tHaus\tNOUN\tNN\t_\t4\tobl\t_\t_
4\tgeht\tgehen\tVERB\tVVFIN\t_\t0\troot\t_\t_
5\tdas\tder\tDET\tART\t_\t6\tdet\t_\t_
6\tKind\tKind\tNOUN\tNN\t_\t4\tnsubj\t_\tSpaceAfter=No
7\t.\t.\tPUNCT\t$.\t_\t4\tpunct\t_\t_

# sent_id = 2
# text = Sie sieht Brot, er Fisch.
1\tSie\tsie\tPRON\tPPER\t_\t2\tnsubj\t2:nsubj\t_
2\tsieht\tsehen\tVERB\tVVFIN\t_\t0\troot\t0:root\t_
3\tBrot\tBrot\tNOUN\tNN\t_\t2\tobj\t2:obj\tSpaceAfter=No
4\t,\t,\tPUNCT\t$,\t_\t5\tpunct\t5.1:punct\t_
5\ter\ter\tPRON\tPPER\t_\t2\tconj\t5.1:nsubj\t_
5.1\tsieht\tsehen\tVERB\tVVFIN\t_\t_\t_\t2:conj\tCopyOf=2
6\tFisch\tFisch\tNOUN\tNN\t_\t5\torphan\t5.1:obj\tSpaceAfter=No
7\t.\t.\tPUNCT\t$.\t_\t2\tpunct\t2:punct\t_

# sent_id = 3
# text = Es ist kalt
1\tEs\tes\tPRON\tPPER\t_\t3\tnsubj\t_\t_
2\tist\tsein\tAUX\tVAFIN\t_\t3\tcop\t_\t_
3\tkalt\tkalt\tADJ\tADJD\t_\t0\troot\t_\t_

# sent_id = 4
# text = _ _ _
1\t_\t_\tPRON\tPPER\t_\t2\tnsubj\t_\t_
2\t_\t_\tVERB\tVVFIN\t_\t0\troot\t_\t_
3\t_\t_\tPUNCT\t$.\t_\t2\tpunct\t_\t_

"""
"""Three sentences, with a multi-word token and an empty node, and one without its text, which is not counted."""


def write_conllu(raw: Path, language: str = "de", release: str = "ud-treebanks-v2.5") -> None:
    """Write a treebank with the same sentences in each split."""
    for split in ("train", "dev", "test"):
        path = raw / f"{release}/UD_Toy-TOY/{language}_toy-ud-{split}.conllu"
        write(path, CONLLU.split("\n")[:-1])
