import REST
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Identity

/// What has ended by itself goes, however much of it there is: anybody can begin the sign-in of a device.
struct ExpiredRowsTests {
    private static func devices(_ fixture: IdentityFixture) async throws -> Int64 {
        try await fixture.harness.services.store.read { reader in
            try reader.first("SELECT count(*) FROM oauth_devices") { try $0.int(0) } ?? 0
        }
    }

    @Test func allThatHasEndedGoesInOneRound() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.harness.services.store.write { transaction in
            for number in 0..<(2 * ExpiredRows.rowsMax + 7) {
                // The last five have not ended.
                let end: Timestamp = transaction.now.adding(.seconds(number < 2 * ExpiredRows.rowsMax + 2 ? 1 : 600))
                try DeviceTable.insert(
                    DeviceRequest(
                        sha256: "sha-\(number)", userCode: "BBBB-\(number)", clientID: "passerelle-cli", scopes: [],
                        state: .pending, grantID: nil, expiresAt: end, askedAt: Timestamp(milliseconds: 0)),
                    in: transaction)
            }
        }
        fixture.harness.clock.advance(by: .seconds(2))
        await fixture.identity.keepHouse()
        #expect(try await Self.devices(fixture) == 5)
    }
}
