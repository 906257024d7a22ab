import JSON
import Testing

struct JSONValueTests {
    @Test func numbersAreEqualByValue() {
        #expect(JSONValue.int(1) == JSONValue.double(1))
        #expect(JSONValue.int(.max) != JSONValue.double(9_223_372_036_854_775_808))
        #expect(JSONValue.int(1) != JSONValue.double(1.5))
        #expect(JSONValue.int(1) != JSONValue.bool(true))
    }

    @Test func objectsAreEqualInAnyOrder() {
        #expect((["a": 1, "b": 2] as JSONValue) == ["b": 2, "a": 1])
        #expect((["a": 1] as JSONValue) != ["a": 1, "b": 2])
        #expect((["a": nil] as JSONValue) != ["b": nil])
        #expect(([1, 2] as JSONValue) != [2, 1])
    }

    @Test func accessorsGiveNothingForOtherKinds() {
        let value: JSONValue = ["text": "x", "int": 3, "double": 1.5, "whole": 2.0, "flag": true, "list": [7]]
        #expect(value["text"]?.text == "x")
        #expect(value["int"]?.integer == 3)
        #expect(value["int"]?.number == 3)
        #expect(value["double"]?.integer == nil)
        #expect(value["whole"]?.integer == 2)
        #expect(value["flag"]?.boolean == true)
        #expect(value["list"]?[0] == 7)
        #expect(value["list"]?[1] == nil)
        #expect(value["text"]?.integer == nil)
        #expect(value["absent"] == nil)
        #expect(JSONValue.int(1)["a"] == nil)
        #expect(JSONValue.number(orNull: .nan).isNull)
        #expect(JSONValue.number(orNull: 2.5) == 2.5)
    }

    @Test func objectsKeepOrderWhenMembersChange() {
        var object: JSONObject = ["a": 1, "b": 2, "c": 3]
        object["b"] = 20
        object["a"] = nil
        object["d"] = 4
        #expect(object.keys == ["b", "c", "d"])
        #expect(object["b"] == 20)
        #expect(object["a"] == nil)
    }

    @Test func largeObjectsStayConsistentWhenMembersChange() {
        var object: JSONObject = JSONObject()
        for number: Int in 0..<100 { object["k\(number)"] = .int(Int64(number)) }
        for number: Int in stride(from: 0, to: 100, by: 2) { object["k\(number)"] = nil }
        object["k1"] = "changed"
        #expect(object.count == 50)
        #expect(object["k1"] == "changed")
        #expect(object["k99"] == 99)
        #expect(object["k98"] == nil)
        for number: Int in 0..<45 { object["k\(number * 2 + 1)"] = nil }
        #expect(object.keys == ["k91", "k93", "k95", "k97", "k99"])
        #expect(object["k99"] == 99)
    }
}
