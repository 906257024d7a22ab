import Testing

@testable import Deployments

struct GatewayDirectoryTests {
    private static func status(_ id: String, group: String = "default", seen: Int64) -> GatewayStatus {
        GatewayStatus(
            id: id, group: group, address: "", version: 1, hash: "", quarantined: [], lastSeen: seen, firstSeen: 0)
    }

    private static func isFresh(_ hearing: GatewayDirectory.Hearing) -> Bool {
        if case .fresh = hearing { return true }
        return false
    }

    private static func otherGroup(_ hearing: GatewayDirectory.Hearing) -> String? {
        if case .taken(let group) = hearing { return group }
        return nil
    }

    /// Who was live when the last process looked is waited for; who was away then stays away.
    @Test func afterAStartThoseThatWereLiveCountAsLive() {
        let directory: GatewayDirectory = GatewayDirectory()
        directory.restore(
            [
                Self.status("live", seen: 1_000_000), Self.status("also-live", seen: 986_000),
                Self.status("gone", seen: 985_000), Self.status("long-gone", seen: 5),
            ], now: 9_000_000)
        let live: [String] = directory.gateways().filter { $0.isLive(now: 9_000_000) }.map(\.id)
        #expect(live == ["also-live", "live"])
        #expect(directory.liveCount(inGroup: "default", now: 9_000_000) == 2)
        #expect(directory.liveCount(inGroup: "default", now: 9_015_000) == 0, "they have 15 seconds to call in")
    }

    @Test func whatWasHeardMeanwhileIsNotOverwritten() {
        let directory: GatewayDirectory = GatewayDirectory()
        #expect(Self.isFresh(directory.heard(id: "a", group: "default", address: "x", now: 50)))
        directory.restore([Self.status("a", seen: 1)], now: 60)
        #expect(directory.gateways().first?.address == "x")
    }

    @Test func tellsWhatMustBeStored() {
        let directory: GatewayDirectory = GatewayDirectory()
        #expect(Self.isFresh(directory.heard(id: "a", group: "default", address: "x", now: 1)))
        #expect(!Self.isFresh(directory.heard(id: "a", group: "default", address: "x", now: 2)))
        #expect(!Self.isFresh(directory.heard(id: "a", group: "default", address: "", now: 3)))
        #expect(directory.gateways().first?.address == "x", "an acknowledgement names no address")
        #expect(Self.isFresh(directory.heard(id: "a", group: "default", address: "y", now: 4)))
        #expect(directory.gateways().first?.lastSeen == 4)
        #expect(directory.gateways().first?.firstSeen == 1)
        let entry: QuarantinedEntry = QuarantinedEntry(entry: "e", reason: "r")
        #expect(!directory.acknowledged(id: "a", version: 1, hash: "", quarantined: [], now: 5))
        #expect(directory.acknowledged(id: "a", version: 2, hash: "", quarantined: [entry], now: 5))
        #expect(!directory.acknowledged(id: "a", version: 3, hash: "", quarantined: [entry], now: 5))
        #expect(directory.acknowledged(id: "a", version: 4, hash: "", quarantined: [], now: 5))
        #expect(!directory.acknowledged(id: "unknown", version: 4, hash: "", quarantined: [entry], now: 5))
    }

    @Test func anIdBelongsToOneLiveGateway() {
        let directory: GatewayDirectory = GatewayDirectory()
        _ = directory.heard(id: "a", group: "default", address: "x", now: 1)
        _ = directory.acknowledged(id: "a", version: 7, hash: "", quarantined: [], now: 1)
        #expect(Self.otherGroup(directory.heard(id: "a", group: "edge", address: "y", now: 14_000)) == "default")
        #expect(directory.gateways(inGroup: "default").first?.version == 7)
        #expect(Self.isFresh(directory.heard(id: "a", group: "edge", address: "y", now: 15_001)), "it is away")
        #expect(directory.gateways(inGroup: "default").isEmpty)
        #expect(directory.gateways(inGroup: "edge").first?.version == 0)
    }

    @Test func aRefusalIsAboutOneRevision() {
        let directory: GatewayDirectory = GatewayDirectory()
        directory.note(refusal: "bad", group: "default", entry: "e", revision: 2)
        #expect(directory.refusal(group: "default", entry: "e", revision: 2) == "bad")
        #expect(directory.refusal(group: "default", entry: "e", revision: 1) == nil)
        #expect(directory.refusal(group: "edge", entry: "e", revision: 2) == nil)
        directory.note(refusal: nil, group: "default", entry: "e", revision: 3)
        #expect(directory.refusal(group: "default", entry: "e", revision: 2) == nil)
    }

    /// Two processes on one database: what one hears the other knows. Their clocks are hours apart.
    @Test func processesTellEachOther() {
        let (first, second): (GatewayDirectory, GatewayDirectory) = (GatewayDirectory(), GatewayDirectory())
        let later: Int64 = 7_200_000
        _ = first.heard(id: "gw-1", group: "default", address: "127.0.0.1:1", now: 1_000)
        _ = first.acknowledged(id: "gw-1", version: 3, hash: "h3", quarantined: [], now: 1_500)
        var table: [GatewayStatus] = first.unshared()
        #expect(table.map(\.id) == ["gw-1"])
        first.told(table)
        #expect(second.merge(table, now: later))
        #expect(second.gateways().first?.version == 3)
        #expect(second.liveCount(inGroup: "default", now: later + 14_000) == 1)
        #expect(second.liveCount(inGroup: "default", now: later + 15_000) == 0, "an unchanged row is no sign of life")
        #expect(!second.merge(table, now: later + 100))
        #expect(second.unshared().isEmpty, "what it did not hear itself it does not tell")
        #expect(!first.merge(table, now: 1_600))
        #expect(first.unshared().isEmpty)
        // Heard again: a moment is told now and then, another version at once.
        _ = first.heard(id: "gw-1", group: "default", address: "", now: 2_000)
        #expect(first.unshared().isEmpty)
        _ = first.acknowledged(id: "gw-1", version: 4, hash: "h4", quarantined: [], now: 2_500)
        _ = first.heard(id: "gw-1", group: "default", address: "", now: 2_500)
        #expect(first.unshared().map(\.version) == [4])
        table = first.unshared()
        first.told(table)
        #expect(second.merge(table, now: later + 1_000))
        #expect(second.gateways().first?.version == 4)
        _ = first.heard(id: "gw-1", group: "default", address: "", now: 6_500)
        #expect(first.unshared().count == 1)
    }

    /// A gateway that calls in elsewhere now: what it says there counts, and old news never replaces newer.
    @Test func aGatewayMovesToAnotherProcess() {
        let (first, second): (GatewayDirectory, GatewayDirectory) = (GatewayDirectory(), GatewayDirectory())
        _ = first.heard(id: "gw-1", group: "default", address: "x", now: 1_000)
        _ = first.acknowledged(id: "gw-1", version: 4, hash: "h4", quarantined: [], now: 1_000)
        let old: [GatewayStatus] = first.unshared()
        second.merge(old, now: 1_000)
        _ = second.acknowledged(id: "gw-1", version: 5, hash: "h5", quarantined: [], now: 3_000)
        _ = second.heard(id: "gw-1", group: "default", address: "x", now: 3_000)
        let new: [GatewayStatus] = second.unshared()
        #expect(new.map(\.version) == [5])
        second.told(new)
        // The first writes late: the second believes what it heard itself, and says it again when it hears it again.
        first.told(old)
        second.merge(old, now: 3_500)
        #expect(second.gateways().first?.version == 5)
        _ = second.heard(id: "gw-1", group: "default", address: "x", now: 7_000)
        #expect(second.unshared().map(\.version) == [5])
        // The first takes it over when it has not heard it for long enough.
        #expect(!first.merge(new, now: 4_000))
        #expect(first.merge(new, now: 16_000))
        #expect(first.gateways().first?.version == 5)
        #expect(first.unshared().isEmpty)
    }
}
