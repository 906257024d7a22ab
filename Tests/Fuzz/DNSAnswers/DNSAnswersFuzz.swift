import DNS
import EventLoops

/// What libFuzzer calls with every input: reads it as the answer of a DNS server, as it is and with a header and a question in front,
/// and follows its aliases.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzDNSAnswers(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    check(input)
    // Answer, two records of each kind, question "a.b" for addresses.
    check([0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 2, 0, 0, 1, 0x61, 1, 0x62, 0, 0, 1, 0, 1] + input)
    return 0
}

private func check(_ bytes: [UInt8]) {
    guard let message: DNSMessage = try? DNSMessage(bytes) else { return }
    precondition(message.answers.count <= DNSMessage.recordsMax, "records are bounded")
    for record in message.answers {
        checkName(record.name)
        switch record.content {
        case .alias(let name): checkName(name)
        case .service(let service): checkName(service.host)
        case .address(let address): precondition(address.port == 0, "an address has no port")
        case .other: break
        }
        precondition(record.seconds <= 0x7FFF_FFFF, "a time is not negative")
    }
    guard let first: DNSRecord = message.answers.first else { return }
    _ = DNSClient.read(message, name: first.name) { (content: DNSRecord.Content) -> DNSService? in
        if case .service(let service) = content { return service }
        return nil
    }
}

/// A name goes into another question as a C string: nothing in it may end that early or be no text.
private func checkName(_ name: String) {
    precondition(name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a name is printable")
    precondition(name.utf8.count <= 4 * 255, "a name is bounded")
}
