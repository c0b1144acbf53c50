package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
	"sync"
)

// Name is a memorable name for the machine that seed identifies. Names come
// from a hash, so machines with serial numbers in a row get names that share
// nothing; the same seed always gets the same name. attempt counts the names of
// this seed that were already taken; from the third on a number keeps it finite.
func Name(seed string, attempt int) string {
	sum := sha256.Sum256([]byte(seed + "/" + strconv.Itoa(attempt)))
	words := nameWords()
	a := binary.BigEndian.Uint64(sum[0:]) % uint64(len(words.first))
	b := binary.BigEndian.Uint64(sum[8:]) % uint64(len(words.second))
	name := words.first[a] + "-" + words.second[b]
	if attempt > 2 {
		name += "-" + strconv.Itoa(int(binary.BigEndian.Uint16(sum[16:])))
	}
	return name
}

// nameWords splits the words, once.
var nameWords = sync.OnceValue(func() (words struct{ first, second []string }) {
	words.first, words.second = strings.Fields(nameFirst), strings.Fields(nameSecond)
	return words
})

// seedOf is what the generated name of m comes from: what it keeps for longest.
func seedOf(m Machine) string {
	switch system := m.Hardware.System; {
	case usableUUID(system.UUID):
		return system.UUID
	case len(m.MACs) > 0:
		return m.BootMAC().String()
	default:
		return system.Serial
	}
}

// The words are short, common, easy to say over the noise of a cold aisle, and
// say nothing unkind in any pair.
const nameFirst = `
able agile amber ample apt aqua arctic ashen autumn azure basic bold brave breezy bright brisk
bronze calm candid cedar chief civil clear clever coastal cobalt copper coral cosmic cosy crisp crystal
curious dapper daring dawn deep deft distant dusky eager early earthy east easy ebony elder elegant
ember even fabled fair famous fancy fast fearless fern festive fiery fine firm first fleet floral
fluent fond frank free fresh frosty gallant gentle giant gilded glad golden good grand great green
handy happy hardy hazel hearty hidden high hollow honest humble icy ideal indigo inland iron ivory
jade jolly jovial joyful keen kind large lasting lemon level light lilac lime lively local lofty
loyal lucid lucky lunar magic major maple marble marine mellow merry mighty mild mint misty modest
mossy native navy neat new nimble noble north novel oaken ocean olive opal open orange orderly
pale patient pearl pine placid plain plum polar polite prime proud pure purple quick quiet rapid
rare ready regal rising robust rocky rosy round royal ruby rustic sage salty sandy scarlet sharp
shiny silent silver simple sleek smart smooth snowy solar solid sonic south spry stable starry steady
steel still stoic stony strong sturdy subtle sunny super sure swift tall tawny teal tender thrifty
tidal tidy timely topaz tranquil true trusty tulip upbeat urban valiant velvet vernal violet vital vivid
warm wavy west whole wild willow wise witty wooden young zesty`

const nameSecond = `
acorn albatross alder anchor antelope anvil apple apricot arch arrow aspen atlas auk aurora badger
bamboo banjo barley basil basin bay beacon bear beaver beech bell berry birch bison bittern
bluff boat bobcat boulder bramble breeze bridge brook buffalo cactus camel canary canoe canyon cape
caribou carp castle cello cherry cliff cloud clover cobra comet compass condor coot cougar cove
coyote crab crane creek cricket crow curlew cypress daisy dale deer delta dingo dolphin dove
dragon drum duck dune eagle echo egret elk elm ermine falcon fawn field finch fjord
flame flute forest fox galaxy gannet gazelle gecko geyser gibbon ginger glacier glade goose gorge
grebe grouse grove gull hamlet harbour hare harp hawk heron hill hippo holly hornet horse
hyena ibex ibis iguana island jackal jaguar jay jetty juniper kestrel kite kiwi koala lagoon
lake lantern larch lark laurel leaf lemur leopard lily linnet lion lizard llama lobster lotus
lynx magpie mallard mango mantis maple marmot marten meadow merlin meteor mill mink moon moose
moth mountain narwhal nebula nest newt nutmeg oak oasis ocelot okapi onyx orbit orca orchid
oriole osprey otter owl oyster palm panda panther parrot path peak pebble pelican penguin pepper
petrel pheasant pigeon pike planet plover poplar poppy prairie puffin puma quail quartz quill rabbit
raccoon raven reed reef ridge river robin rocket rook rowan saffron sail salmon sequoia shark
shore shrew sparrow spruce squid squirrel star stoat stone stork storm stream summit swan swift
tapir teal tern thistle thrush thunder tiger timber toucan trail trout tulip tundra turtle valley
viper vole walnut walrus warbler wave weasel whale willow wolf wombat wren yak yew zebra`
