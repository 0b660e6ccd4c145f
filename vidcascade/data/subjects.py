"""The sticker subjects of the world: canonical name, code point and the words for it.

A plain table without numpy, so that a configuration can be checked without heavy imports.
Sprites are made in :mod:`vidcascade.data.sprites`.
"""

from __future__ import annotations

from dataclasses import dataclass

# One line per subject: canonical name | code point (also the sticker's file name) | other words.
_TABLE = """
rocket|1f680|spaceship,rocket ship
flying saucer|1f6f8|ufo,alien ship
satellite|1f6f0-fe0f|space satellite
airplane|2708-fe0f|plane,aeroplane,jet
helicopter|1f681|chopper
parachute|1fa82|
sailboat|26f5|sailing boat,yacht
canoe|1f6f6|kayak,rowing boat
speedboat|1f6a4|motor boat
ship|1f6a2|cruise ship,ocean liner
bicycle|1f6b2|bike,push bike
kick scooter|1f6f4|scooter
motor scooter|1f6f5|moped,vespa
motorcycle|1f3cd-fe0f|motorbike
skateboard|1f6f9|
roller skate|1f6fc|
car|1f697|red car,automobile
taxi|1f695|cab,taxicab,yellow cab
police car|1f693|cop car
racing car|1f3ce-fe0f|race car,formula one car
ambulance|1f691|
fire engine|1f692|fire truck
bus|1f68c|coach
pickup truck|1f6fb|pickup
delivery truck|1f69a|lorry,van
tractor|1f69c|farm tractor
train|1f686|railway train
steam locomotive|1f682|steam train,steam engine
tram|1f68a|streetcar
bullet train|1f685|high-speed train
traffic light|1f6a6|stop light
stop sign|1f6d1|
anchor|2693|
ring buoy|1f6df|lifebuoy,life ring
house|1f3e0|home,cottage
castle|1f3f0|fortress
tent|26fa|camping tent
circus tent|1f3aa|big top
ferris wheel|1f3a1|big wheel
carousel horse|1f3a0|
volcano|1f30b|
mountain|1f3d4-fe0f|snowy mountain
moai|1f5ff|stone head,easter island statue
earth|1f30d|globe,planet earth
saturn|1fa90|ringed planet,planet
moon|1f315|full moon
crescent moon|1f319|moon crescent
sun|2600-fe0f|shining sun
smiling sun|1f31e|sun with a face
gold star|2b50|yellow star,golden star
comet|2604-fe0f|
cloud|2601-fe0f|fluffy cloud
storm cloud|1f329-fe0f|thundercloud
rainbow|1f308|
lightning bolt|26a1|bolt of lightning,thunderbolt
snowflake|2744-fe0f|flake of snow
snowman|26c4|
fire|1f525|flame
water drop|1f4a7|droplet,drop of water
wave|1f30a|water wave
tornado|1f32a-fe0f|twister
umbrella|2602-fe0f|parasol
grinning face|1f600|smiley,happy face
laughing face|1f602|crying laughing face
heart eyes face|1f60d|smiley with heart eyes
cool face|1f60e|face with sunglasses
crying face|1f62d|sobbing face
angry face|1f621|mad face
sleeping face|1f634|sleepy face
cowboy|1f920|cowboy face
clown|1f921|clown face
skull|1f480|
ghost|1f47b|spook
alien|1f47d|extraterrestrial
space invader|1f47e|alien monster
robot|1f916|bot,android
ogre|1f479|red demon
broken heart|1f494|
dog|1f436|dog face,puppy
cat|1f431|cat face,kitten
lion|1f981|
tiger|1f42f|tiger face
horse|1f434|horse face
unicorn|1f984|
zebra|1f993|
deer|1f98c|stag
cow|1f42e|cow face
pig|1f437|pig face,piglet
sheep|1f411|ewe
goat|1f410|
camel|1f42b|
giraffe|1f992|
elephant|1f418|
rhinoceros|1f98f|rhino
hippopotamus|1f99b|hippo
mouse|1f42d|mouse face
hamster|1f439|
rabbit|1f430|bunny,rabbit face
hedgehog|1f994|
bat|1f987|
bear|1f43b|brown bear
polar bear|1f43b-200d-2744-fe0f|white bear
koala|1f428|
panda|1f43c|
fox|1f98a|
wolf|1f43a|
monkey|1f435|monkey face,chimp
gorilla|1f98d|ape
kangaroo|1f998|
sloth|1f9a5|
chicken|1f414|hen
chick|1f425|baby chick
penguin|1f427|
bird|1f426|songbird
eagle|1f985|
duck|1f986|mallard
swan|1f9a2|
owl|1f989|
flamingo|1f9a9|
peacock|1f99a|
parrot|1f99c|macaw
frog|1f438|toad
crocodile|1f40a|alligator
turtle|1f422|tortoise
snake|1f40d|serpent
dragon|1f409|
brontosaurus|1f995|sauropod,long-necked dinosaur
t-rex|1f996|tyrannosaurus,dinosaur
whale|1f433|spouting whale
dolphin|1f42c|
fish|1f41f|blue fish
tropical fish|1f420|striped fish
pufferfish|1f421|blowfish
shark|1f988|
octopus|1f419|
seashell|1f41a|shell,spiral shell
jellyfish|1fabc|
crab|1f980|
lobster|1f99e|
snail|1f40c|
butterfly|1f98b|
caterpillar|1f41b|bug
ant|1f41c|
bee|1f41d|honeybee,bumblebee
ladybug|1f41e|ladybird
spider|1f577-fe0f|
bouquet|1f490|bunch of flowers
cherry blossom|1f338|pink blossom
rose|1f339|red rose
sunflower|1f33b|
tulip|1f337|
potted plant|1fab4|houseplant
pine tree|1f332|evergreen,fir tree
tree|1f333|leafy tree
palm tree|1f334|palm
cactus|1f335|
four leaf clover|1f340|lucky clover
maple leaf|1f341|autumn leaf
mushroom|1f344|toadstool
bunch of grapes|1f347|grape bunch
watermelon|1f349|slice of watermelon
orange fruit|1f34a|tangerine,mandarin
lemon|1f34b|
banana|1f34c|
pineapple|1f34d|
apple|1f34e|red apple
green apple|1f34f|
pear|1f350|
peach|1f351|
pair of cherries|1f352|cherry
strawberry|1f353|
kiwi fruit|1f95d|kiwi
tomato|1f345|
coconut|1f965|
avocado|1f951|
eggplant|1f346|aubergine
carrot|1f955|
corn cob|1f33d|ear of corn
chili pepper|1f336-fe0f|hot pepper
broccoli floret|1f966|piece of broccoli
croissant|1f950|
pretzel|1f968|
waffle|1f9c7|
cheese wedge|1f9c0|piece of cheese
burger|1f354|hamburger,cheeseburger
box of fries|1f35f|pack of french fries
pizza|1f355|slice of pizza,pizza slice
hot dog|1f32d|hotdog
taco|1f32e|
fried egg|1f373|
box of popcorn|1f37f|bucket of popcorn
soft ice cream|1f366|ice cream cone,ice cream
donut|1f369|doughnut
cookie|1f36a|biscuit
birthday cake|1f382|cake
cupcake|1f9c1|muffin
lollipop|1f36d|
candy|1f36c|wrapped candy,sweet
honey pot|1f36f|jar of honey
cup of coffee|2615|coffee cup,hot drink
teapot|1fad6|
bubble tea|1f9cb|boba tea
ice cube|1f9ca|block of ice
jack-o-lantern|1f383|pumpkin,halloween pumpkin
christmas tree|1f384|xmas tree
firecracker|1f9e8|stick of dynamite
balloon|1f388|red balloon,party balloon
party popper|1f389|
gift|1f381|present,gift box
trophy|1f3c6|gold cup
gold medal|1f947|first place medal
soccer ball|26bd|football
baseball|26be|
basketball|1f3c0|
volleyball|1f3d0|
american football|1f3c8|
tennis racket|1f3be|tennis ball and racket
boxing glove|1f94a|
bullseye|1f3af|dartboard,target
yo-yo|1fa80|yoyo
kite|1fa81|
eight ball|1f3b1|billiard ball
crystal ball|1f52e|
magic wand|1fa84|
game controller|1f3ae|gamepad
die|1f3b2|dice
puzzle piece|1f9e9|jigsaw piece
teddy bear|1f9f8|teddy
disco ball|1faa9|mirror ball
ball of yarn|1f9f6|yarn ball
t-shirt|1f455|shirt
backpack|1f392|rucksack
sneaker|1f45f|running shoe,trainer
crown|1f451|golden crown
top hat|1f3a9|
diamond ring|1f48d|engagement ring
gem|1f48e|diamond,gemstone
megaphone|1f4e3|loudhailer
bell|1f514|golden bell
musical note|1f3b5|music note
microphone|1f3a4|mic
radio|1f4fb|
saxophone|1f3b7|sax
trumpet|1f3ba|
guitar|1f3b8|electric guitar
violin|1f3bb|fiddle
drum|1f941|snare drum
phone|1f4f1|smartphone,mobile phone
telephone|260e-fe0f|red telephone
laptop|1f4bb|laptop computer,notebook computer
television|1f4fa|tv,tv set
camera|1f4f7|photo camera
candle|1f56f-fe0f|
light bulb|1f4a1|lightbulb
book|1f4d5|closed book
coin|1fa99|gold coin
money bag|1f4b0|bag of money
envelope|2709-fe0f|letter
parcel|1f4e6|cardboard box,package
pencil|270f-fe0f|
paintbrush|1f58c-fe0f|
padlock|1f512|lock
key|1f511|golden key
hammer|1f528|
axe|1fa93|hatchet
bomb|1f4a3|
shield|1f6e1-fe0f|
gear|2699-fe0f|cogwheel,cog
magnet|1f9f2|horseshoe magnet
telescope|1f52d|
chair|1fa91|
couch|1f6cb-fe0f|sofa
bathtub|1f6c1|bath
bucket|1faa3|pail
shopping cart|1f6d2|shopping trolley
hourglass|231b|sandglass
alarm clock|23f0|clock
stopwatch|23f1-fe0f|
"""


@dataclass(frozen=True)
class Subject:
    """One sticker: ``name`` (canonical), ``code`` (file stem) and ``words`` (name first)."""

    name: str
    code: str
    words: tuple[str, ...]


def _parse(table: str) -> dict[str, Subject]:
    out: dict[str, Subject] = {}
    for line in table.strip().splitlines():
        name, code, others = line.split("|")
        out[name] = Subject(name, code, (name, *(w for w in others.split(",") if w)))
    return out


SUBJECTS: dict[str, Subject] = _parse(_TABLE)
"""Every sticker subject by canonical name."""
