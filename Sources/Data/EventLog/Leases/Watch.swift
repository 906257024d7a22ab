import Time

/// Whether who watches others for signs of life may take silence for death.
///
/// A machine that stood still, or a database that answered nobody for a while, stops those who show life and those who look for
/// it alike. Who goes on first would find all others silent. So silence begins anew with a gap in the own looks, and means nothing
/// before two signs were due. Of two gaps in a row only the first counts: who is always late must find the dead, too.
struct Watch: Sendable {
    /// The time in which two signs are due, in nanoseconds; a longer pause between two looks is a gap.
    private let patience: UInt64
    private var lastLook: UInt64?
    private var wasLate: Bool = false
    /// nil: there was nothing yet that would excuse silence.
    private var silentSince: UInt64?

    /// - Parameter pause: the usual one between two looks, and between two signs of life.
    init(every pause: Duration) { self.patience = UInt64(clamping: (pause * 2).nanosecondsClamped) }

    /// Takes note of a look: whether silence means death now.
    ///
    /// - Parameters:
    ///   - now: monotonic nanoseconds, after what is looked at was read.
    ///   - isRenewed: it showed life since the last look.
    mutating func look(at now: UInt64, isRenewed: Bool = false) -> Bool {
        let isLate: Bool = self.lastLook.map { now &- $0 > self.patience } ?? false
        if isRenewed || (isLate && !self.wasLate) { self.silentSince = now }
        self.lastLook = now
        self.wasLate = isLate
        return self.silentSince.map { now &- $0 >= self.patience } ?? true
    }
}
