"""Language models: packages, tokenizer, sampler, text and speech generation."""
