"""What a state knows of data: the data sets that members offer."""
