import Documents
import GatewayConfiguration
import JSON

/// What libFuzzer calls with every input: reads it as a gateway's file and checks what must hold for any text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzGatewayFiles(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    do {
        let file: GatewayFile = try GatewayFile.read(bytes)
        checkSnapshot(of: file.document)
    } catch {
        precondition(!error.problems.isEmpty, "a file is refused for a reason")
        for problem: Problem in error.problems {
            precondition(problem.line >= 1 && problem.column >= 1 && !problem.message.isEmpty, "a problem has a place")
        }
    }
    return 0
}

/// What a valid file says in JSON is a valid snapshot of the same content.
private func checkSnapshot(of document: GatewayDocument) {
    let hashed: HashedDocument = HashedDocument(document, version: 1)
    guard let again: GatewayFile = try? GatewayFile.read(document.json().serialized()) else {
        preconditionFailure("a document reads back from its JSON")
    }
    precondition(again.document == document, "a document reads back from its JSON")
    precondition(HashedDocument(again.document, version: 1).hash == hashed.hash, "the same content has the same hash")
}
