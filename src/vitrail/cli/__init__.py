"""The command `vitrail`: one thin file per verb. A verb imports what is heavy when it runs, so that --help is quick."""
