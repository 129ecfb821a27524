"""What can be asked, as one grammar: the phrasings of the assistant's actions and of the owner's commands.

template.py reads the language, files.py the files of english/, kinds.py knows what may fill a slot.
"""
