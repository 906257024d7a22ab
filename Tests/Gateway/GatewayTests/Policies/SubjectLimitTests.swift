import Testing

@testable import Gateway

@Suite struct SubjectLimitTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start: UInt64 = 1_000 * Self.second

    @Test func admitsTheLimitAtOnceAndThenAsTimePasses() throws {
        let limit: SubjectLimit = SubjectLimit(name: "caller", limit: 5, window: .seconds(10))
        for _ in 0..<5 { #expect(limit.admit("a", now: Self.start) == nil) }
        let fields = try #require(limit.admit("a", now: Self.start))
        #expect(fields.map(\.name) == ["Retry-After", "RateLimit-Policy", "RateLimit"])
        #expect(fields.map(\.value) == ["2", "\"caller\";q=5;w=10", "\"caller\";r=0;t=10"])
        #expect(limit.admit("b", now: Self.start) == nil, "others are not slowed down")
        #expect(limit.admit("a", now: Self.start + 2 * Self.second) == nil)
        #expect(limit.admit("a", now: Self.start + 2 * Self.second) != nil)
        for _ in 0..<5 { #expect(limit.admit("a", now: Self.start + 60 * Self.second) == nil) }
        #expect(limit.admit("a", now: Self.start + 60 * Self.second) != nil)
    }

    @Test func manySubjectsTakeNoMoreMemoryAndFreeNobody() {
        let limit: SubjectLimit = SubjectLimit(name: "address", limit: 2, window: .seconds(10), subjectsMax: 1_024)
        // Counted last, so that the others' counts are the ones to make room.
        for index in 0..<20_000 { _ = limit.admit("10.0.\(index / 256).\(index % 256)", now: Self.start) }
        let later: UInt64 = Self.start + 5 * Self.second
        #expect(limit.admit("192.0.2.7", now: later) == nil)
        #expect(limit.admit("192.0.2.7", now: later) == nil)
        for index in 20_000..<40_000 { _ = limit.admit("10.0.\(index / 256).\(index % 256)", now: Self.start) }
        #expect(limit.admit("192.0.2.7", now: later) != nil, "whoever is at the limit stays there")
    }
}
