import Bytes
import Testing

struct NearestNameTests {
    static let names: [String] = ["targets", "timeout", "strip_prefix", "balance", "id"]

    @Test(
        arguments: [
            ("target", "targets"), ("tagrets", "targets"), ("Timeout", "timeout"), ("stripprefix", "strip_prefix"),
            ("strip-prefix", "strip_prefix"), ("ballance", "balance"), ("ids", "id"), ("upstream", nil), ("x", nil),
            ("", nil),
            (String(repeating: "t", count: 100_000), nil),
        ] as [(String, String?)])
    func suggests(_ text: String, _ name: String?) {
        #expect(NearestName.suggestion(for: text, among: Self.names) == name)
    }
}
