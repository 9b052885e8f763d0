"""The specifications of operators in a job file, as data: a module per family. `rayflow.operators` runs them."""
