import JSON
import Telemetry
import TestKit
import Testing
import Time

@Suite struct LoggerTests {
    @Test func writesOneJSONObjectALine() {
        let log = CapturedLog()
        log.logger().info(
            "deployed", ["api": "orders", "revision": 3, "ok": true, "seconds": 0.5, "tags": ["a", nil]])
        #expect(
            log.lines == [
                #"{"time":"2026-01-01T00:00:00.000Z","level":"info","message":"deployed","api":"orders","revision":3,"ok":true,"#
                    + #""seconds":0.5,"tags":["a",null]}"#
            ])
    }

    @Test func linesBelowTheLevelAreNotMade() {
        let log = CapturedLog()
        let logger: Logger = log.logger(level: .warning)
        func fields() -> JSONObject {
            Issue.record("the fields of a line that is not written were made")
            return [:]
        }
        logger.info("no", fields())
        logger.debug("no", fields())
        logger.warning("yes")
        logger.error("yes")
        #expect(log.entries.count == 2)
        logger.level = .debug
        logger.debug("now")
        #expect(log.entries("now").count == 1)
    }

    @Test func loggersWithFieldsShareTheLevelAndTheCallWins() {
        let log = CapturedLog()
        let parent: Logger = log.logger(level: .error)
        let child: Logger = parent.with(["service": "catalog", "tenant": "a"]).with(["tenant": "b"])
        parent.level = .info
        child.info("x", ["tenant": "c"])
        child.info("y")
        #expect(log.entries[0]["service"]?.text == "catalog")
        #expect(log.entries[0]["tenant"]?.text == "c")
        #expect(log.entries[1]["tenant"]?.text == "b")
    }

    @Test func fieldsCannotPretendToBeTheLine() {
        let log = CapturedLog()
        log.logger().info("real", ["message": "faked", "level": "debug", "time": "never", "x\"\n": "a\"b\nc\u{1}"])
        let entry: JSONValue = log.entries[0]
        #expect(entry["message"]?.text == "real")
        #expect(entry["field.message"]?.text == "faked")
        #expect(entry["x\"\n"]?.text == "a\"b\nc\u{1}")
        #expect(log.lines[0].utf8.allSatisfy { $0 >= 0x20 })
    }

    @Test func whatJSONCannotSayDoesNotStopTheLogger() {
        let log = CapturedLog()
        log.logger().error("x", ["a": .double(.nan), "b": [.double(.infinity)], "c": ["d": .double(-.infinity)]])
        let entry: JSONValue = log.entries[0]
        #expect(entry["a"]?.text == "nan")
        #expect(entry["b"]?[0]?.text == "inf")
        #expect(entry["c"]?["d"]?.text == "-inf")
    }

    @Test func longTextsAreCut() {
        let log = CapturedLog()
        log.logger().info(
            String(repeating: "é", count: 10_000), ["body": .string(String(repeating: "x", count: 100_000))])
        #expect(log.lines[0].utf8.count < 20_000)
        #expect(log.entries[0]["body"]?.text?.hasSuffix("… (91808 bytes more)") == true)
    }

    @Test func textLinesAreForPeopleAndCannotDriveTheTerminal() {
        let time = Timestamp(milliseconds: 0)
        let fields: JSONObject = ["a": "plain", "b": "two words", "c": "\u{1B}[31m", "d": 5, "e": "", "f": "\u{9B}x"]
        let line: [UInt8] = LogFormat.text(colours: false).line(.warning, "hel\u{1B}lo\nx", fields, time: time)
        #expect(
            String(decoding: line, as: UTF8.self)
                == "1970-01-01T00:00:00.000Z WARNING hel\\u{1b}lo\\u{a}x a=plain b=\"two words\" c=\"\\u001b[31m\" d=5 e=\"\" "
                + "f=\"\\u{9b}x\"\n")
        let coloured: [UInt8] = LogFormat.text(colours: true).line(.error, "x", ["a": 1], time: time)
        #expect(String(decoding: coloured, as: UTF8.self).contains("\u{1B}[1;31mERROR  \u{1B}[0m x"))
    }

    @Test(arguments: LogLevel.allCases)
    func levelsHaveNames(level: LogLevel) {
        #expect(LogLevel(name: level.name) == level)
        #expect(LogLevel(name: level.name.uppercased()) == nil)
    }

    @Test func aCapturedLogFindsText() {
        let log = CapturedLog()
        log.logger().info("abc", ["token": "s3cret"])
        #expect(log.contains("s3cret"))
        #expect(!log.contains("s3crets"))
    }
}
