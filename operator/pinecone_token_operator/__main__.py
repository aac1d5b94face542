"""`python -m pinecone_token_operator`."""

import sys

from pinecone_token_operator.cli.main import main

sys.exit(main())
