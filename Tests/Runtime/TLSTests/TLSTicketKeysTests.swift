import Crypto
import Synchronization
import TLS
import Testing

struct TLSTicketKeysTests {
    /// Seconds that a test sets.
    private final class Seconds: Sendable {
        let now: Atomic<Int64> = Atomic(1_000)
        func add(_ seconds: Int64) { self.now.wrappingAdd(seconds, ordering: .relaxed) }
    }

    private static func server(
        _ keys: TLSTicketKeys, _ clients: TLSServerConfiguration.ClientCertificates = .none
    ) throws -> TLSContext {
        try .server(
            TLSServerConfiguration(
                certificates: [TLSFixture.server(["localhost"])], clientCertificates: clients,
                ticketLifetime: .seconds(100), ticketKeys: keys))
    }

    /// Whether a client that was here before is known to `server`.
    private static func resumes(_ client: TLSContext, _ server: TLSContext) throws -> Bool {
        let pair: TLSPair = try TLSPair(client, server)
        try pair.connect()
        return pair.server?.isResumed == true
    }

    @Test func aSessionIsResumedUnderOtherCertificates() throws {
        let keys: TLSTicketKeys = TLSTicketKeys(lifetime: .seconds(100))
        let client: TLSContext = try TLSFixture.clientContext()
        #expect(try !Self.resumes(client, Self.server(keys)))
        #expect(try Self.resumes(client, Self.server(keys)))
        // With keys of its own a server knows nobody.
        #expect(try !Self.resumes(client, Self.server(TLSTicketKeys(lifetime: .seconds(100)))))
    }

    @Test func aSessionIsNotResumedUnderOtherRulesForClients() throws {
        let keys: TLSTicketKeys = TLSTicketKeys(lifetime: .seconds(100))
        let client: TLSContext = try TLSFixture.clientContext()
        let authority: Certificate = try #require(TLSFixture.authority).identity.certificate
        #expect(try !Self.resumes(client, Self.server(keys)))
        #expect(try !Self.resumes(client, Self.server(keys, .optional([authority]))))
        #expect(try Self.resumes(client, Self.server(keys, .optional([authority]))))
    }

    @Test func keysAreRotatedAndForgotten() throws {
        let seconds: Seconds = Seconds()
        let keys: TLSTicketKeys = TLSTicketKeys(lifetime: .seconds(100)) { seconds.now.load(ordering: .relaxed) }
        let server: TLSContext = try Self.server(keys)
        let early: TLSContext = try TLSFixture.clientContext()
        #expect(try !Self.resumes(early, server))
        #expect(keys.count == 1)
        seconds.add(60)
        // A second key seals for newcomers; the first still opens.
        #expect(try !Self.resumes(TLSFixture.clientContext(), server))
        #expect(keys.count == 2)
        #expect(try Self.resumes(early, server))
        let late: TLSContext = try TLSFixture.clientContext()
        #expect(try !Self.resumes(late, server))
        seconds.add(151)
        #expect(try !Self.resumes(late, server))
        for _ in 0..<10 {
            seconds.add(51)
            #expect(try !Self.resumes(TLSFixture.clientContext(), server))
            #expect(keys.count <= TLSTicketKeys.keysMax)
        }
    }

    @Test func onlyCiphersThatAreNamedAreSpoken() throws {
        func context(_ ciphers: [String], _ minimum: TLSVersion = .tls12) throws -> TLSContext {
            try .server(
                TLSServerConfiguration(
                    certificates: [TLSFixture.server(["localhost"])], minimumVersion: minimum, ciphers: ciphers))
        }
        try TLSPair(TLSFixture.clientContext(), context(["TLS_CHACHA20_POLY1305_SHA256"])).connect()
        #expect(throws: TLSError.self) { try context(["TLS_NULL"]) }
        #expect(throws: TLSError.self) { try context(["NOTHING"]) }
    }
}
