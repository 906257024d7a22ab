/// The place of a request in a distributed trace: the `traceparent` header of W3C Trace Context, level 1.
///
/// ```
/// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
/// version (2) - trace id (32) - span id (16) - flags (2), all lower-case hex
/// ```
/// A trivial value (no references): it is copied and kept in records for free.
package struct TraceContext: Sendable, Hashable {
    package static let traceparentLength: Int = 55

    /// First and second half of the trace id, as big-endian numbers; never both zero.
    package let traceIDHigh: UInt64
    package let traceIDLow: UInt64
    /// The span that caused the request; never zero.
    package let spanID: UInt64
    package let isSampled: Bool

    /// From the words of its ids; nil when one of the ids is zero, which the standard forbids.
    package init?(traceIDHigh: UInt64, traceIDLow: UInt64, spanID: UInt64, isSampled: Bool) {
        guard traceIDHigh | traceIDLow != 0, spanID != 0 else { return nil }
        self.init(high: traceIDHigh, low: traceIDLow, span: spanID, sampled: isSampled)
    }

    private init(high: UInt64, low: UInt64, span: UInt64, sampled: Bool) {
        self.traceIDHigh = high
        self.traceIDLow = low
        self.spanID = span
        self.isSampled = sampled
    }

    /// Reads a header value where it lies; allocates nothing. Nil when it is malformed: then a trace of our own begins.
    ///
    /// Version 00 has exactly 55 characters; of a later version the first 55 are read when it ends or a `-` follows there.
    /// Version ff, zero ids and upper-case digits are refused. Flags other than `sampled` are dropped.
    package init?(traceparent bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= TraceContext.traceparentLength,
            bytes[2] == UInt8(ascii: "-"), bytes[35] == UInt8(ascii: "-"), bytes[52] == UInt8(ascii: "-"),
            let version: UInt64 = HexDigits.read(bytes, at: 0, count: 2), version != 0xFF,
            let high: UInt64 = HexDigits.read(bytes, at: 3, count: 16),
            let low: UInt64 = HexDigits.read(bytes, at: 19, count: 16),
            let span: UInt64 = HexDigits.read(bytes, at: 36, count: 16),
            let flags: UInt64 = HexDigits.read(bytes, at: 53, count: 2)
        else { return nil }
        if bytes.count > TraceContext.traceparentLength {
            guard version != 0, bytes[TraceContext.traceparentLength] == UInt8(ascii: "-") else { return nil }
        }
        self.init(traceIDHigh: high, traceIDLow: low, spanID: span, isSampled: flags & 1 == 1)
    }

    /// Reads a header value.
    package init?(traceparent text: String) {
        var copy: String = text
        guard let value: TraceContext = copy.withUTF8({ TraceContext(traceparent: UnsafeRawBufferPointer($0)) }) else {
            return nil
        }
        self = value
    }

    /// A trace that begins here, sampled. Thread-safe.
    package static func make() -> TraceContext {
        var random = KernelGenerator()
        return TraceContext.make(using: &random, isSampled: true)
    }

    /// A trace that begins here, from the caller's generator: the way of the event loops.
    @inlinable
    package static func make(using random: inout some RandomNumberGenerator, isSampled: Bool) -> TraceContext {
        TraceContext(nonZero: random.next(), low: random.next(), span: random.next(), sampled: isSampled)
    }

    /// A fresh span of the same trace. Thread-safe.
    package func child() -> TraceContext {
        var random = KernelGenerator()
        return self.child(using: &random)
    }

    /// A fresh span of the same trace, from the caller's generator.
    @inlinable
    package func child(using random: inout some RandomNumberGenerator) -> TraceContext {
        TraceContext(nonZero: self.traceIDHigh, low: self.traceIDLow, span: random.next(), sampled: self.isSampled)
    }

    /// Takes random words; a zero (one in 2^64) becomes one, because zero ids mean "none".
    @usableFromInline
    init(nonZero high: UInt64, low: UInt64, span: UInt64, sampled: Bool) {
        self.init(high: high, low: high | low == 0 ? 1 : low, span: span == 0 ? 1 : span, sampled: sampled)
    }

    /// The header value.
    package var traceparent: String {
        String(unsafeUninitializedCapacity: TraceContext.traceparentLength) {
            (bytes: UnsafeMutableBufferPointer<UInt8>) -> Int in
            self.write(to: bytes)
            return TraceContext.traceparentLength
        }
    }

    /// Writes the header value into the first 55 bytes of `bytes`; allocates nothing.
    package func write(to bytes: UnsafeMutableBufferPointer<UInt8>) {
        precondition(bytes.count >= TraceContext.traceparentLength)
        HexDigits.write(0, count: 2, to: bytes, at: 0)
        bytes[2] = UInt8(ascii: "-")
        HexDigits.write(self.traceIDHigh, count: 16, to: bytes, at: 3)
        HexDigits.write(self.traceIDLow, count: 16, to: bytes, at: 19)
        bytes[35] = UInt8(ascii: "-")
        HexDigits.write(self.spanID, count: 16, to: bytes, at: 36)
        bytes[52] = UInt8(ascii: "-")
        HexDigits.write(self.isSampled ? 1 : 0, count: 2, to: bytes, at: 53)
    }

    /// 32 lower-case hex digits: what log lines, events and problem documents show.
    package var traceID: String {
        String(unsafeUninitializedCapacity: 32) { (bytes: UnsafeMutableBufferPointer<UInt8>) -> Int in
            HexDigits.write(self.traceIDHigh, count: 16, to: bytes, at: 0)
            HexDigits.write(self.traceIDLow, count: 16, to: bytes, at: 16)
            return 32
        }
    }
}

/// The shared block of kernel randomness as a generator.
private struct KernelGenerator: RandomNumberGenerator {
    mutating func next() -> UInt64 { KernelRandom.shared.next() }
}
