"""`nitamono submit`: another verb, run by spark-submit."""
