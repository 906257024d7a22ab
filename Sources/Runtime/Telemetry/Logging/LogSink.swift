/// Where finished lines go.
package protocol LogSink: Sendable {
    /// Takes one line, its line feed included. Must neither block nor fail towards the caller: who logs may be an event loop.
    func write(_ line: [UInt8])

    /// Returns when everything taken so far is out, or after `limit`. Blocks: for the end of a process, not for loops.
    func flush(within limit: Duration)
}

/// Drops everything: for code under test that has nothing to say.
package struct SilentSink: LogSink {
    package init() {}
    package func write(_ line: [UInt8]) {}
    package func flush(within limit: Duration) {}
}
