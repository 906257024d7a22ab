/// How values of definitions are written.
package enum DefinitionText {
    /// A span of time in whole milliseconds; configuration knows nothing finer.
    package static func milliseconds(_ duration: Duration) -> Int64 {
        let parts: (seconds: Int64, attoseconds: Int64) = duration.components
        return parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000
    }
}
