/// What matching may cost.
package struct PatternLimits: Sendable {
    /// Bytes of a text at most.
    package var textBytesMax: Int
    /// Steps of backtracking from one place of a short text; longer texts get fewer, as a step there can cost more.
    package var stepsMax: UInt32
    /// Memory for backtracking where expressions are interpreted, in KiB.
    package var heapKiB: UInt32
    /// Processor time over all places of one text, looked at between pieces of it.
    package var nanosecondsMax: UInt64

    package init(
        textBytesMax: Int = 1 << 16, stepsMax: UInt32 = 50_000, heapKiB: UInt32 = 1024,
        nanosecondsMax: UInt64 = 20_000_000
    ) {
        self.textBytesMax = textBytesMax
        self.stepsMax = stepsMax
        self.heapKiB = heapKiB
        self.nanosecondsMax = nanosecondsMax
    }

    package static let standard: PatternLimits = PatternLimits()

    /// Bytes of an expression at most.
    package static let sourceBytesMax: Int = 4096
    /// Groups of an expression at most, the whole match included.
    package static let groupsMax: Int = 64
    /// Groups inside groups at most.
    static let nestingMax: UInt32 = 64
    /// Bytes × steps that one place of a text may cost; with `stepsFloor`, what `stepsMax` becomes for long texts.
    static let stepBytesMax: Int = 200_000_000
    static let stepsFloor: Int = 4000

    /// Steps for a text of this length.
    func steps(textBytes: Int) -> UInt32 {
        let scaled: Int = max(Self.stepsFloor, Self.stepBytesMax / max(1, textBytes))
        return min(self.stepsMax, UInt32(clamping: scaled))
    }
}

/// Why an expression does not compile.
package struct PatternSyntaxError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes into the expression.
    package let offset: Int
    package let message: String

    package var description: String { "\(self.message) (at offset \(self.offset))" }
}

/// Why it is not known whether an expression matches.
package enum PatternFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// A limit of steps, memory or time was passed.
    case tooMuchWork
    /// The text is longer than what is searched.
    case textTooLong(max: Int)

    package var description: String {
        switch self {
        case .tooMuchWork: return "expected a text that takes less effort to match"
        case .textTooLong(let max): return "expected a text of at most \(max) bytes to match"
        }
    }
}
