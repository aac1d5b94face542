"""`kubectl pinecone-token`: what the commands do, with the standard library and yaml only."""
