"""What a job file says of each operator, as data: a module for each family. `rayflow.operators` runs them."""
