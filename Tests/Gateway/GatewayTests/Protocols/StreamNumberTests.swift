import Testing

@testable import Gateway

struct StreamNumberTests {
    @Test(
        arguments: [
            ([1, 3, 5], true), ([1, 3, 3, 1], true), ([7], true), ([7, 7], true), ([7, 5], false), ([7, 1], false),
            ([1, 7, 3], false),
            ([1, 7, 1], true), ([1, 5, 9, 3], false), ([1, 5, 9, 7], false), ([1, 5, 9, 5], true), ([5, 2], true),
            ([0], true),
            ([2_147_483_645, 2_147_483_647], true), ([2_147_483_647, 2_147_483_645], false),
        ] as [([Int32], Bool)])
    func aNumberThatWasPassedOverIsNeverUsed(_ numbers: [Int32], lastIsAdmitted: Bool) {
        var known: HTTP2StreamNumbers = HTTP2StreamNumbers()
        for number in numbers.dropLast() {
            let isAdmitted: Bool = known.admits(number)
            #expect(isAdmitted)
        }
        let isAdmitted: Bool = known.admits(numbers.last ?? 0)
        #expect(isAdmitted == lastIsAdmitted)
    }

    @Test func forgetsTheOldestThatWerePassedOver() {
        var known: HTTP2StreamNumbers = HTTP2StreamNumbers()
        var admitted: [Bool] = []
        for step in 0...Int32(HTTP2StreamNumbers.rangesMax) { admitted.append(known.admits(3 + step * 4)) }
        #expect(!admitted.contains(false))
        let oldest: Bool = known.admits(1)
        let second: Bool = known.admits(5)
        #expect(oldest && !second)
    }
}
