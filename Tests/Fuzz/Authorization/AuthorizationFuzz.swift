import Bytes
import HTTP

/// What libFuzzer calls with every input: reads it as the value of `Authorization`, and checks what must hold for any text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzAuthorization(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text: String = String(decoding: UnsafeBufferPointer(start: data, count: count), as: UTF8.self)
    switch AuthorizationField(text) {
    case nil: break
    case .bearer(let token):
        precondition(
            !token.isEmpty && text.utf8.count == token.utf8.count + 7, "a token is all that follows the scheme")
        precondition(AuthorizationField("BEARER \(token)") == .bearer(token), "the scheme's case does not matter")
    case .basic(let user, let password):
        precondition(!user.utf8.contains(UInt8(ascii: ":")), "the name ends at the first colon")
        let written: String = Base64.encode(Array("\(user):\(password)".utf8))
        precondition(
            AuthorizationField("basic \(written)") == .basic(user: user, password: password),
            "what is written reads back"
        )
        // The client's own escapes, as the token endpoint reads them.
        for part in [user, password] {
            guard let plain: String = PercentCoding.decode(part, plusIsSpace: true) else { continue }
            precondition(!plain.utf8.contains(0), "no zero bytes come out")
        }
    }
    return 0
}
