"""How models/noctule-tiny is made: phrasings, examples, tokenizer, training, evaluation. Host side only."""
