import Contracts
import JSON
import Testing

struct APILabelsTests {
    private static let longest: String = String(repeating: "a", count: 63)

    @Test(arguments: [
        ("team", true), ("a", true), ("Team.name_of-2", true), ("9", true), (longest, true), ("", false),
        ("-team", false),
        ("team-", false), (".a", false), ("a_", false), ("a b", false), ("a=b", false), ("a/b", false), ("é", false),
        ("a,b", false), (longest + "a", false),
    ])
    func aKeyIsAWord(key: String, isOne: Bool) {
        #expect((APILabels.problem(key: key) == nil) == isOne)
        #expect((APILabels.problem(value: key) == nil) == (isOne || key.isEmpty), "a value may be empty, too")
    }

    @Test func areStoredAndReadInTheOrderOfTheirKeys() {
        let labels: APILabels = APILabels(["tier": "gold", "team": "payments", "beta": ""])
        #expect(labels.stored == #"{"beta":"","team":"payments","tier":"gold"}"#)
        #expect(APILabels(stored: labels.stored) == labels)
        #expect(APILabels(stored: "{}").isEmpty)
        #expect(APILabels(stored: "nonsense").isEmpty)
    }

    @Test func aChangeSetsAndRemovesAndLeavesTheRest() {
        let old: APILabels = APILabels(["team": "payments", "tier": "gold"])
        let new: APILabels = old.merging(["tier": nil, "team": "billing", "none": nil, "stage": ""])
        #expect(new == APILabels(["team": "billing", "stage": ""]))
    }

    @Test(arguments: [
        ("team=payments", true), ("team=payments,tier=gold", true), ("team=billing", false), ("tier=", false),
        ("beta=", true), ("Team=payments", false), ("team=Payments", false), ("team=payments,tier=silver", false),
    ])
    func aSelectorAsksForAllOfItsLabels(text: String, isMatch: Bool) throws {
        let selector: LabelSelector = try #require(LabelSelector(text))
        #expect(selector.matches(APILabels(["team": "payments", "tier": "gold", "beta": ""])) == isMatch)
    }

    @Test(arguments: ["", "team", "=x", "team=payments,", ",", "a=b c", "a=b=c", "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1"])
    func refusesWhatIsNoSelector(text: String) {
        #expect(LabelSelector(text) == nil)
    }
}
