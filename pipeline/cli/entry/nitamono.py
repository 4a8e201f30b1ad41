"""The file that spark-submit is given: the command `nitamono`, with its verbs and options.

It is alone in its folder, because Python puts the folder of the file it runs before all others
when it looks for modules.
"""

from pipeline.cli.main import main

if __name__ == "__main__":
    main()
