import Documents
import Testing

struct NodeDecoderTests {
    private struct Listen: Equatable {
        var port: Int
        var name: String
        var idle: Duration
        var body: Int
        var mode: String
        var tags: [String]
        var tracing: Bool
        var sample: Double
    }

    private func decode(_ text: String) throws -> Listen {
        try NodeDecoder.decode(try DocumentReader.parse(text)) { root in
            guard
                let fields: NodeFields = root.fields([
                    "port", "name", "idle", "body", "mode", "tags", "tracing", "sample",
                ])
            else { return nil }
            let port: Int? = fields.integer("port", in: 1...65_535)
            let name: String? = fields.string("name", default: "main", length: 1...8)
            let idle: Duration? = fields.duration("idle", default: .seconds(60), in: .seconds(1)...(.seconds(3600)))
            let body: Int? = fields.byteCount("body", default: 1 << 20, in: 1...(10 << 20))
            let mode: String? = fields.choice("mode", default: "rr", ["round_robin": "rr", "least_requests": "lr"])
            let tags: [String]? = fields.list("tags", count: 0...2) { $0.string(length: 1...9) }
            let tracing: Bool? = fields.boolean("tracing", default: false)
            let sample: Double? = fields.value("sample", default: 0.01) { $0.number(in: 0...1) }
            guard let port, let name, let idle, let body, let mode, let tags, let tracing, let sample else {
                return nil
            }
            return Listen(
                port: port, name: name, idle: idle, body: body, mode: mode, tags: tags, tracing: tracing, sample: sample
            )
        }
    }

    private func problems(_ text: String) -> [String] {
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) { try self.decode(text) }
        return error?.problems.map(\.description) ?? []
    }

    @Test func readsValuesAndFillsInDefaults() throws {
        #expect(
            try self.decode("port: 8000\nidle:\nmode: least_requests\ntags: [a, b]\nbody: 64KiB\nsample: 1\n")
                == Listen(
                    port: 8000, name: "main", idle: .seconds(60), body: 65_536, mode: "lr", tags: ["a", "b"],
                    tracing: false,
                    sample: 1))
    }

    @Test func namesEveryProblemAtOnceWithItsPlace() {
        let text: String = """
            prot: 80
            name: much too long
            idle: 5x
            body: 11MiB
            mode: round_robbin
            tags:
              - ok
              - 12
              - ""
            tracing: yes
            sample: 1.5
            """
        #expect(
            self.problems(text) == [
                "1:1: /prot: unknown field \"prot\", did you mean \"port\"?",
                "1:1: expected a field \"port\"",
                "2:7: /name: expected a string of 1 to 8 bytes, found 13",
                "3:7: /idle: expected a duration from 1s to 1h, such as 250ms, 30s, 5m, 2h or 7d",
                "4:7: /body: expected a size from 1B to 10MiB, found 11MiB",
                "5:7: /mode: expected one of round_robin, least_requests, found \"round_robbin\", did you mean \"round_robin\"?",
                "7:3: /tags: expected at most 2 elements, found 3",
                "8:5: /tags/1: expected a string, found an integer (put it in quotes)",
                "9:5: /tags/2: expected a string of 1 to 9 bytes, found 0",
                "10:10: /tracing: expected true or false, found \"yes\"",
                "11:9: /sample: expected a number from 0 to 1, found 1.5",
            ])
    }

    @Test(
        arguments: [
            ("[]", "1:1: expected a mapping, found a list"),
            ("", "1:1: expected a mapping, found nothing"),
            ("port:", "1:1: /port: expected a value, found nothing"),
            ("port: x", "1:7: /port: expected an integer from 1 to 65535, found a string"),
            ("port: 70000", "1:7: /port: expected an integer from 1 to 65535, found 70000"),
            ("port: 1\nname: {a: secret}", "2:7: /name: expected a string, found a mapping"),
            ("port: 1\nidle: 5", "2:7: /idle: expected a duration from 1s to 1h, such as 250ms, 30s, 5m, 2h or 7d"),
            ("port: 1\nidle: 2d", "2:7: /idle: expected a duration from 1s to 1h, found 2d"),
            ("port: 1\ntags: x", "2:7: /tags: expected a list, found a string"),
            (
                "port: 1\nzzz/~: x",
                "2:1: /zzz~1~0: unknown field \"zzz/~\", expected one of port, name, idle, body, mode, tags, tracing, sample"
            ),
        ])
    func saysWhatWasExpected(_ text: String, _ problem: String) {
        #expect(self.problems(text) == [problem])
    }

    @Test func problemsNeverRepeatAStringThatMayBeSecret() {
        for field: String in ["port", "idle", "body", "tags", "tracing", "sample"] {
            let text: String = field == "port" ? "port: hunter2" : "port: 1\n\(field): hunter2"
            for problem: String in self.problems(text) { #expect(!problem.contains("hunter2")) }
        }
    }

    @Test func stopsCollectingAtItsLimitAndCountsTheRest() throws {
        let text: String = (0..<250).map { "unknown\($0): 1" }.joined(separator: "\n")
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) { try self.decode(text) }
        #expect(error?.problems.count == 100)
        #expect(error?.omitted == 151)
        #expect(error?.text(file: "a.yaml").hasSuffix("\nand 151 more") == true)
        #expect(error?.text(file: "a.yaml").hasPrefix("a.yaml:1:1: /unknown0: ") == true)
    }

    @Test func readsMappingsWithNamesOfTheUsers() throws {
        let pairs: [(key: String, value: Int)] = try NodeDecoder.decode(try DocumentReader.parse("{b: 1, a: 2}")) {
            root in
            root.dictionary { _, value in value.integer() }
        }
        #expect(pairs.map(\.key) == ["b", "a"])
        #expect(pairs.map(\.value) == [1, 2])
    }

    @Test func readsStringsWithTheCallersRules() throws {
        let root: Node = try DocumentReader.parse("[ok, Bad]")
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) {
            try NodeDecoder.decode(root) { root in
                root.list { $0.string { $0 == $0.lowercased() ? nil : "lower-case letters" } }
            }
        }
        #expect(error?.problems == [Problem(pointer: "/1", line: 1, column: 6, message: "expected lower-case letters")])
        let parsed: [Int] = try NodeDecoder.decode(try DocumentReader.parse("['1', '2']")) { root in
            root.list { $0.parsed("a number in quotes") { Int($0) } }
        }
        #expect(parsed == [1, 2])
    }
}
