"""Speech to text that is guided by what can be asked: a beam inside an automaton of words."""
