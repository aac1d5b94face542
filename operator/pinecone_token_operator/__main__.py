"""`python -m pinecone_token_operator`."""

import sys

from pinecone_token_operator.cli import main

sys.exit(main())
