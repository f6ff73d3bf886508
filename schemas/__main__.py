"""``python -m schemas``: write the generated documents beside the code."""

from schemas.documents import write_documents

for path in write_documents():
    print(path.name)
