/// How much of a message is read before it is refused.
package struct HTTPLimits: Sendable, Equatable {
    /// Bytes of a request or response head, start line included; beyond: 431. At most 65,535, since ranges in a head are 16 bits.
    package var headBytesMax: Int
    /// Bytes of a request target; beyond: 414.
    package var targetBytesMax: Int
    /// Fields of a head or a trailer section; beyond: 431.
    package var fieldsMax: Int
    /// Bytes of a trailer section; beyond: 431.
    package var trailerBytesMax: Int

    package static let headBytesCeiling: Int = 65_535
    package static let standard: HTTPLimits = HTTPLimits()

    package init(
        headBytesMax: Int = 32 * 1024, targetBytesMax: Int = 8 * 1024, fieldsMax: Int = 100,
        trailerBytesMax: Int = 8 * 1024
    ) {
        precondition(headBytesMax > 0 && headBytesMax <= HTTPLimits.headBytesCeiling, "headBytesMax is 1 to 65535")
        precondition(targetBytesMax > 0 && fieldsMax > 0, "limits are positive")
        precondition(
            trailerBytesMax > 0 && trailerBytesMax <= HTTPLimits.headBytesCeiling, "trailerBytesMax is 1 to 65535")
        self.headBytesMax = headBytesMax
        self.targetBytesMax = targetBytesMax
        self.fieldsMax = fieldsMax
        self.trailerBytesMax = trailerBytesMax
    }
}
