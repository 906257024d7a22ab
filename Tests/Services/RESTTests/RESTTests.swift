// Tests of REST.
