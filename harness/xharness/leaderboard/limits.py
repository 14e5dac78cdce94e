"""The limits of a submission: lengths, counts and sizes that hold where one is made and where one is read."""

LONGEST_NAME, LONGEST_NOTE, LONGEST_TEXT, LONGEST_URL = 80, 500, 200, 300
"""In characters: names; notes and reasons; other texts; addresses."""
MOST_SEEDS, MOST_FILES, MOST_SETTINGS, MOST_VERSIONS = 20, 5_000, 2_000, 40
LARGEST_RECORD = 4 << 20
"""Bytes of a submission.json: all languages of all targets under twenty seeds need two million."""
LARGEST_FILE, LARGEST_CONTENT = 32 << 20, 64 << 20
"""Bytes of a prediction file, packed and unpacked."""
LARGEST_PACKAGE, LARGEST_UNPACKED = 512 << 20, 2 << 30
"""Bytes of all prediction files together, packed and unpacked."""
LONGEST_ANSWER = 1_000
"""Characters of an answer to a question: longer ones are no answers but contexts, and those are others' texts."""
LONGEST_LABEL = 200
"""Characters of a label, a tag or an id."""
