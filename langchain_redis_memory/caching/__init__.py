"""The execution cache: values, results of functions, answers of models."""
