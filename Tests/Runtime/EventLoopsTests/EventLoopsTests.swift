// Tests of EventLoops.
