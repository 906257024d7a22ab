import EventLoops
import Testing

@testable import DNS

struct DNSMessageTests {
    /// Header of an answer with so many answers and authorities, and the question `a.b` for type A.
    private static func message(code: UInt8 = 0, answers: UInt8, authorities: UInt8 = 0, _ rest: [UInt8]) -> [UInt8] {
        [0, 1, 0x81, 0x80 | code, 0, 1, 0, answers, 0, authorities, 0, 0, 1, 0x61, 1, 0x62, 0, 0, 1, 0, 1] + rest
    }

    /// A record of the question's name.
    private static func record(_ type: UInt8, seconds: UInt8, _ data: [UInt8]) -> [UInt8] {
        [0xC0, 12, 0, type, 0, 1, 0, 0, 0, seconds, 0, UInt8(data.count)] + data
    }

    @Test func addressesAreRead() throws {
        let bytes: [UInt8] = Self.message(
            answers: 2, Self.record(1, seconds: 60, [10, 0, 0, 1]) + Self.record(1, seconds: 30, [10, 0, 0, 2]))
        let message: DNSMessage = try DNSMessage(bytes)
        let outcome: DNSOutcome<[SocketAddress]> = DNSClient.read(message, name: "a.b.") {
            if case .address(let address) = $0 { return address } else { return nil }
        }
        #expect(
            outcome
                == .found(
                    [SocketAddress(v4: 10, 0, 0, 1, port: 0), SocketAddress(v4: 10, 0, 0, 2, port: 0)], seconds: 30))
    }

    @Test func aliasesAreFollowed() throws {
        // a.b → c.a.b, whose address follows; one of another name does not count.
        let alias: [UInt8] = Self.record(5, seconds: 9, [1, 0x43, 0xC0, 12])
        let other: [UInt8] = [1, 0x78, 0, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 9, 9, 9, 9]
        let address: [UInt8] = [1, 0x63, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 77, 0, 4, 1, 2, 3, 4]
        let message: DNSMessage = try DNSMessage(Self.message(answers: 3, alias + other + address))
        let outcome: DNSOutcome<[SocketAddress]> = DNSClient.read(message, name: "A.b".lowercased()) {
            if case .address(let address) = $0 { return address } else { return nil }
        }
        #expect(outcome == .found([SocketAddress(v4: 1, 2, 3, 4, port: 0)], seconds: 9))
    }

    @Test func servicesAreRead() throws {
        let data: [UInt8] = [0, 10, 0, 60, 0x1F, 0x90, 3, 0x57, 0x77, 0x77, 0xC0, 12]
        let message: DNSMessage = try DNSMessage(Self.message(answers: 1, Self.record(33, seconds: 5, data)))
        #expect(
            message.answers[0].content
                == .service(DNSService(priority: 10, weight: 60, port: 8080, host: "www.a.b")))
    }

    @Test func nothingIsRememberedAsLongAsTheZoneSays() throws {
        let soa: [UInt8] = [0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 20]
        let bytes: [UInt8] = Self.message(code: 3, answers: 0, authorities: 1, Self.record(6, seconds: 100, soa))
        let message: DNSMessage = try DNSMessage(bytes)
        #expect(message.code == 3 && message.negativeSeconds == 20)
    }

    @Test(
        arguments: [
            [0xC0, 12], [0xC0, 33], [0xC0, 200], [64, 1], [5, 1], [], [1, 0x61],
        ] as [[UInt8]])
    func brokenNamesAreRefused(_ name: [UInt8]) {
        let bytes: [UInt8] = Self.message(answers: 2, name)
        #expect(throws: DNSError.self) { try DNSMessage(bytes) }
    }

    /// A dot inside a label, a byte of 0 and a backslash are no names of anybody else.
    @Test func strangeLabelsStayLabels() throws {
        let data: [UInt8] = [0, 1, 0, 1, 0, 80, 4, 0x2E, 0x00, 0x5C, 0xFF, 0xC0, 12]
        let message: DNSMessage = try DNSMessage(Self.message(answers: 1, Self.record(33, seconds: 5, data)))
        #expect(
            message.answers[0].content
                == .service(DNSService(priority: 1, weight: 1, port: 80, host: "\\046\\000\\092\\255.a.b")))
    }

    /// Whatever comes: an error or a message, and never a trap or an endless loop.
    @Test func anyBytesAreSurvived() {
        var state: UInt64 = 99
        let good: [UInt8] = Self.message(
            answers: 3,
            Self.record(1, seconds: 60, [10, 0, 0, 1]) + Self.record(33, seconds: 1, [0, 1, 0, 1, 0, 1, 0xC0, 12])
                + Self.record(5, seconds: 9, [1, 0x43, 0xC0, 12]))
        for _ in 0..<20_000 {
            var bytes: [UInt8] = good
            for _ in 0..<4 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 21)
            }
            if state >> 60 == 0 { bytes.removeLast(Int(state >> 50) % bytes.count) }
            _ = try? DNSMessage(bytes)
        }
    }
}
