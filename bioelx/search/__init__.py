"""From a vector to concepts: the FAISS index over names, and the retriever that pools them."""
