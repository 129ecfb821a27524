"""What people say that is none of the declared actions. Data only.

One topic is one line of thought; whole topics are held out for testing, and among the rest whole lines. The name
after the topic is the refusal (noctule.actions.declared.REFUSALS) that suits it. [a|b|] and {slots} as in phrasings.py.
"""

from __future__ import annotations

#: topic -> (refusal, lines)
TOPICS: dict[str, tuple[str, str]] = {
    "weather": (
        "knowledge",
        """
what's the weather [like|] [today|tomorrow|in {city}|outside|this weekend|]
[will it|is it going to] [rain|snow|storm|freeze] [today|tomorrow|tonight|in {city}|this {weekday}]
do i need [an umbrella|a coat|sunscreen|boots] [today|tomorrow|]
how [hot|cold|warm|windy|humid] is it [outside|in {city}|today|out there]
what's the temperature [outside|in {city}|out there|tomorrow|in the garden]
[give|tell] me the [weather|forecast] [for {city}|for tomorrow|]
when does the sun [set|rise] [today|tomorrow|in {city}]
is it [sunny|cloudy|raining|snowing|foggy] [outside|in {city}|right now]
what's the chance of [rain|snow] on {weekday}
how many degrees is it [outside|in {city}]
is there a storm coming
""",
    ),
    "news": (
        "knowledge",
        """
what's [new|happening] [in the world|in {city}|today|]
[read|tell|give] me the [news|headlines]
who won the [election|game|match|race|cup] [yesterday|last night|in {city}|]
what's the score of the [game|match]
what happened [today|yesterday|in {city}]
any news [about|on] {thing}
when is the next [election|match|race]
[how is|how are] the [stock market|shares|markets] doing
what's the price of [gold|oil|bitcoin|bread|petrol]
""",
    ),
    "facts": (
        "knowledge",
        """
how [tall|high|old|big|heavy] is [{person}|the tower|the moon|mount everest|{city}|a whale]
who [is|was] {person}
who [invented|discovered|built|painted] {thing}
what is the capital of [france|peru|japan|kenya|norway]
how many [people live in {city}|legs has a spider|planets are there|bones are in the body]
where is {city}
when was {person} born
when did the [war|revolution|ice age] [end|start]
what is the [longest|largest|deepest|highest] [river|lake|mountain|country|ocean]
how far is it to [{city}|the moon|the sun]
what language do they speak in {city}
why is the [sky blue|sea salty|grass green]
what do [cats|bees|whales|bears] eat
is [{city}|australia] bigger than [{city}|france]
how long do [cats|dogs|tortoises|elephants] live
how fast is [light|a cheetah|sound|a falcon]
what year did the [ship|wall] [sink|fall]
""",
    ),
    "arithmetic": (
        "knowledge",
        """
what is {n} [plus|minus|times|divided by] {n}
how much is {n} [plus|times|minus] {n}
[calculate|compute|work out] {n} [plus|minus|times] {n}
what's {n} percent of {n}
what's the square root of {n}
how many seconds are in {d}
how many minutes are there in {d}
convert {n} [miles|pounds|inches|cups] to [kilometres|kilos|centimetres|grams]
is {n} a prime number
add {n} and {n}
half of {n}
what is {d} in seconds
""",
    ),
    "definitions": (
        "knowledge",
        """
what does [the word|] {thing} mean
[define|spell] {thing}
how do you spell {thing}
what's another word for [happy|big|fast|{thing}]
how do you say {thing} in [french|german|spanish|japanese]
translate [good morning|thank you|{thing}] [to|into] [french|german|italian|polish]
what is the meaning of [life|{thing}]
what is a {thing}
what are {thing}s made of
""",
    ),
    "world_clock": (
        "knowledge",
        """
what time is it in {city}
what's the time in [{city}|australia|japan|california]
tell me the time in {city}
[what time|when] does the [shop|bank|pharmacy|library|museum|office] [open|close]
[what time|when] [is|does] [dinner|the meeting|the game start|the film start|the concert|school start]
[what time|when] does the [next|last|first] [train|bus|ferry|plane] [leave|go|arrive]
what time zone is {city} in
what time should i [leave|get up|go to bed|eat]
what time did {person} [call|arrive|leave|get home]
when is [sunset|sunrise|high tide] 
how long is the flight to {city}
what time will [it be over|we arrive|the show end]
""",
    ),
    "calendar": (
        "knowledge",
        """
what's on my [calendar|schedule|agenda] [today|tomorrow|this week|]
when is [easter|christmas|my birthday|thanksgiving|mother's day|the next holiday]
how many days [until|till] [christmas|easter|my birthday|{weekday}]
[add|put] {thing} [to|on|in] my [calendar|schedule|diary]
[schedule|book|plan] a [meeting|call|lunch] with {person} [on {weekday}|tomorrow|at noon]
[when|what day] is my [appointment|meeting|flight|exam|next meeting]
do i have [anything|meetings|plans] [today|tomorrow|on {weekday}]
cancel my [meeting|appointment|lunch|reservation] [on {weekday}|tomorrow|with {person}]
what day of the week was [the first of may|my birthday|christmas]
what was the date last [{weekday}|week]
what's the date [next|on] {weekday}
is {weekday} a [holiday|working day]
move my [meeting|appointment] to {weekday}
""",
    ),
    "alarms": (
        "timers",
        """
set an alarm [for|at] [seven|six thirty|{n} am|noon|{weekday} morning]
wake me [up|] at [seven|six|{n}|half past six|dawn]
what time is my alarm [set for|]
cancel [my|the] [morning|seven o'clock|] alarm
[change|move] my alarm to [seven|eight|nine]
turn on my [weekday|morning] alarm
snooze [the alarm|]
do i have [an alarm|alarms] set [for tomorrow|]
set a daily alarm
remind me [at noon|at five o'clock|tomorrow|on {weekday}|next week|when i get home] to {task}
""",
    ),
    "timer_other": (
        "timers",
        """
[pause|resume|restart|extend|continue|freeze|unpause] [the|my|] [{name} |]timer
add {d} to [the|my] [{name} |]timer
take {d} off the [{name} |]timer
[make|let] the [{name} |]timer [longer|shorter]
[rename|snooze|repeat] the [{name} |]timer
change the [{name} |]timer to {d}
start a stopwatch
stop the stopwatch
set a timer [every|each] {d}
make the timer [louder|play music|repeat]
what sound does the timer make
set a recurring timer
reset the [{name} |]timer
""",
    ),
    "howto_timer": (
        "writing",
        """
how do i [set|make|write|build|program] a timer [in python|in excel|on my phone|on the oven|in javascript|with an arduino]
what is [a|an egg|a kitchen|a cooking] timer
who invented the [timer|clock|stopwatch|hourglass]
how does a [timer|clock|camera|microphone|screenshot] work
can you explain how [timers|clocks|cameras|microphones] work
how do i take a [screenshot|picture|photo] [on a mac|on windows|with my phone|on an iphone]
where can i buy a [timer|clock|camera|microphone|speaker]
how much does a [timer|camera|clock|speaker] cost
what's the best [timer|camera|clock|speaker|microphone]
how do i turn up the volume on [my phone|my laptop|the television]
what does [uptime|mute|volume|snapshot|ram] mean
why do [timers|clocks|cameras] [beep|tick|flash]
""",
    ),
    "cooking_table": (
        "unable",
        """
[set|lay|clear] the table [for {n}|for dinner|please|]
how long [do i|should i|does it take to] [cook|boil|bake|roast|fry] [{food}|the {food}]
[give|find|tell] me a recipe for {food}
what can i [cook|bake|make] with {food}
how much {food} do i need for {n} people
is the {food} [still good|fresh|spicy|vegan]
what goes [well|] with {food}
can i freeze {food}
how many calories [are in|has] {food}
at what temperature do i bake {food}
what should we have for [dinner|lunch|breakfast]
preheat the oven [to {n} degrees|for {food}]
what's the temperature of the [oven|soup|water|{food}]
""",
    ),
    "lights": (
        "devices",
        """
[turn|switch] [on|off] the [light|lights|lamp|bedroom light|kitchen lights|hallway light]
[turn|switch] the [light|lights|lamp|kitchen lights] [on|off]
[dim|brighten] the [lights|lamp|bedroom] [to {p}|]
make the [lights|lamp|room] [blue|red|brighter|darker|warmer]
[lights|lamp] [on|off]
set the [lights|lamp] to {p}
it's too dark in here
is the [light|lamp] on in the [kitchen|hall|garage]
""",
    ),
    "heating": (
        "devices",
        """
set the [thermostat|heating|heater|air conditioning] to [{n}|{n} degrees|{p}]
turn [up|down|on|off] the [heating|heater|thermostat|air conditioning|fan|radiator]
make it [warmer|cooler|colder] [in here|in the bedroom|]
it's too [cold|hot|warm] in [here|this room|the bedroom]
what is the thermostat set to
what's the temperature in the [bedroom|living room|kitchen|fridge|pool|room|greenhouse]
lower the temperature [by {n} degrees|in the bedroom]
how [hot|cold|warm] is [the room|the bath|the pool|the fridge|it in here]
""",
    ),
    "appliances": (
        "devices",
        """
[turn|switch] [on|off] the [tv|television|oven|kettle|dishwasher|washing machine|coffee machine|radio|printer|computer]
[start|stop|run] the [dishwasher|washing machine|vacuum|robot|dryer|lawn mower|kettle]
[lock|unlock|open|close] the [door|garage|window|gate|blinds|curtains|car]
is the [door locked|oven on|garage open|window closed|washing machine done]
turn up the [tv|television|radio|stereo] 
mute the [tv|television|call|meeting|phone|radio]
what is the volume of [a sphere|the tv|a cube|the bath|my phone]
make [me|us] [a|some] [coffee|tea|toast|sandwich]
[change|switch] the channel [to {n}|]
water the [plants|garden|lawn]
feed the [cat|dog|fish]
[unmute|pause] the [tv|television|video call|radio]
charge my [phone|car|laptop]
restart the [router|computer|printer|server|phone]
how long has the [oven|tv|dryer|car] been [on|running]
""",
    ),
    "music": (
        "media",
        """
play [some|] [music|jazz|rock|something relaxing|my playlist|the radio|a song]
play {song} [by {person}|]
[skip|next|previous] [song|track]
what song is [this|playing]
[shuffle|repeat] [my playlist|this song|the album]
add this [song|track] to my [playlist|favourites]
[sing|hum|whistle] [me|us|] [a song|something|{song}]
turn the bass [up|down]
who sings [this|{song}]
[pause|resume] the [music|song|album]
play {song} at {p} volume
""",
    ),
    "video": (
        "media",
        """
play [a film|a movie|the next episode|{song}] [on netflix|on the tv|]
[show|find] me [videos|films|movies] [about|of] {thing}
what's on [tv|television|netflix|the cinema|channel {n}] [tonight|now|]
record {song} on channel {n}
record [the game|the match|my show|the film] tonight
[rewind|fast forward] {d}
pause the [film|video|movie|show]
recommend [a film|a movie|a series|a book|something to watch]
how long is the [film|movie|song|video]
watch [a film|tv|the game]
read me [a book|the next chapter|a story]
put on [the game|cartoons|a podcast]
""",
    ),
    "games": (
        "media",
        """
[let's play|play|start] [a game|chess|hangman|twenty questions|a quiz|hide and seek|tic tac toe]
[roll|throw] [a|the] [die|dice]
[flip|toss] a coin
[pick|choose|give me] a [random number|card|number between one and {n}]
[ask|give] me a [riddle|trivia question|quiz question]
rock paper scissors
truth or dare
who goes first
spin the wheel
""",
    ),
    "calls": (
        "people",
        """
[call|phone|ring|dial] [{person}|mum|my brother|the office|a taxi|the doctor|home|nine one one]
[answer|decline|end|hang up] the [call|phone]
[put|switch] {person} on [hold|speaker]
who called [me|] [today|yesterday|]
do i have [missed calls|voicemail]
redial
[face time|video call] [{person}|mum|grandma]
call me [back|] in {d}
call me {person}
ring {person} in {d}
""",
    ),
    "messages": (
        "people",
        """
[text|message|email|write to] {person} [that i'm late|hello|i'm on my way|]
[send|write] [a|an] [text|message|email|letter] to [{person}|my boss|mum]
[read|show|check] my [messages|emails|texts|mail|inbox]
[tell|remind|ask] {person} [to {task}|that i'm late|i said hello]
reply to {person}
did {person} [write|text|answer|reply]
[post|tweet|share] [this|that|a picture] [on|to] [facebook|twitter|instagram|my page]
send {person} [a picture|a photo|the screenshot|this clip|a video]
delete [the|my last] [email|message]
let {person} know [that i'm late|about {thing}]
""",
    ),
    "shopping": (
        "people",
        """
[order|buy|get] [me|us|] [a pizza|some {food}|{food}|more {food}|a new {thing}]
add {food} to [the|my] [shopping list|list|cart|basket]
what's on my [shopping list|to do list|list]
[remove|take] {food} [from|off] [the|my] [shopping list|list]
where is my [order|package|parcel|delivery]
how much [is|does] [a {thing}|{food}|the {thing}] [cost|]
[clear|delete|empty|create] [the|my] [shopping list|to do list]
cancel my [order|subscription|delivery]
[find|show] me [cheap flights|deals|shoes|a new {thing}]
book [a table|a room|a flight|tickets] [for {n}|in {city}|to {city}]
reorder {food}
""",
    ),
    "money": (
        "people",
        """
[send|transfer|pay] {n} [dollars|euros|pounds] to {person}
what's my [account balance|balance|credit score|credit limit]
pay [my|the] [bill|rent|electricity bill|credit card]
how much [did i spend|money do i have|do i owe] [on {food}|this month|]
freeze my [account|card]
[report|block] my [card|lost card]
how much should i tip on {n} dollars
what are the interest rates
did my payment go through
what's my [pin|routing number|salary|next payday]
how do i get a loan
""",
    ),
    "travel": (
        "knowledge",
        """
how do i get to [{city}|the station|the airport|work]
[navigate|take me|directions|drive] to [{city}|the station|work|home]
how is the traffic [to {city}|on the way to work|]
when is my flight [to {city}|]
where is the [nearest|closest|next] [petrol station|pharmacy|restaurant|toilet|bank]
how far is [{city}|the airport|the station]
do i need a visa for {city}
[find|call|get] me a [taxi|hotel|cab] [in {city}|]
what's the best [restaurant|hotel|museum] in {city}
is my flight [on time|delayed]
where did i park [my car|]
how long does it take to get to [{city}|work|the airport]
how long is the [drive|walk|ride] to {city}
i lost my luggage
what plug do they use in {city}
""",
    ),
    "jokes": (
        "writing",
        """
tell me a [joke|story|poem|secret|fun fact|fairy tale|riddle]
[make|write] [me|] a [poem|song|story|rhyme|joke] about {thing}
say something [funny|nice|clever|in french]
make me laugh
do you know [any jokes|a good joke|a story]
tell me something [interesting|i don't know|about {thing}]
entertain me
cheer me up
knock knock
""",
    ),
    "writing": (
        "writing",
        """
[write|draft|compose] [an essay|a letter|a speech|a report|a cover letter] [about {thing}|for {person}|]
[summarize|summarise|shorten|explain] [this|the article|{thing}|the text]
[write|fix|debug] [a program|some code|a python script|a function] [that sorts numbers|for me|]
correct my [grammar|spelling|essay]
help me [with my homework|write a letter|study for {thing}|decide]
what rhymes with {thing}
take a note [that i owe {person}|]
write this down
make a list of {thing}s
give me [ideas|tips|advice] for [a party|my holiday|a present]
draw [me|] [a picture|a cat|{thing}]
paint a picture of {thing}
""",
    ),
    "greetings": (
        "greeting",
        """
[hello|hi|hey|good morning|good evening|good afternoon|hi there|hello there|howdy|greetings]
[hello|hi|hey] [noctule|assistant|you|friend]
how are you [today|doing|]
how is it going
what's up
nice to meet you
[i'm|i am] back
[i'm home|anybody there|are you there|you there]
good to see you
are you [awake|listening|there|ready]
how do you do
[good night|goodbye|bye|see you|see you later|bye bye]
""",
    ),
    "thanks": (
        "thanks",
        """
[thanks|thank you|many thanks|cheers|thanks a lot|thank you very much|thank you so much|much appreciated]
[thanks|thank you] [noctule|for that|for your help|that was helpful]
[well done|good job|great|nice|perfect|excellent|very good|that's great|awesome|you rock]
that's [all|it] [for now|thanks|]
that was [great|good|perfect|helpful]
i appreciate it
you are [great|the best|helpful|wonderful]
""",
    ),
    "self": (
        "self",
        """
who are you
what are you
what's your name
what is your name
who [made|built|created|programmed] you
are you [a robot|human|a person|real|alive|an ai|a computer]
where [are you from|do you live|do you come from]
how old are you
what does noctule mean
introduce yourself
tell me about yourself
what version are you
when were you [born|made|built]
are you [chatgpt|siri|alexa]
do you have a [name|body|family]
what language model are you
""",
    ),
    "feelings": (
        "unable",
        """
do you [love|like|hate] [me|{food}|people|{thing}s|music|cats]
what's your favourite [colour|food|film|song|animal]
will you marry me
i [love|hate|like|miss] you
i'm [bored|sad|happy|tired|hungry|lonely|angry|in love]
i [feel|am feeling] [sick|sad|lonely|great|tired]
do you [sleep|dream|eat|feel pain|get bored|have feelings]
what do you think [about|of] {thing}
you are [stupid|funny|boring|useless|pretty|annoying|weird]
do you believe in [god|ghosts|magic]
what should i [do|wear|eat] [today|tonight|]
what are you [doing|thinking|wearing]
sorry
i'm just kidding
that's not [what i said|funny|right|true]
yes
no
maybe
of course
okay
sure
why
really
i don't know
i don't care
""",
    ),
    "health": (
        "knowledge",
        """
i have a [headache|cold|fever|sore throat|stomach ache] what should i do
how many [calories|steps] [did i burn|did i walk|should i eat] [today|]
what is my [heart rate|blood pressure|weight|temperature]
how much water should i drink
[is|are] [{food}|smoking|coffee] [healthy|bad for me|good for you]
do i have a [temperature|fever]
when should i take my [pills|medicine]
how long [does a cold last|should i sleep|does a fever last]
what are the symptoms of [flu|measles]
track my [sleep|run|steps]
start [a workout|meditation|yoga]
book a doctor
""",
    ),
    "system_admin": (
        "unable",
        """
[reboot|restart|shut down|shutdown|power off|reset] [the board|the system|yourself|the computer|now|]
[update|upgrade] [yourself|the system|the software|the firmware]
[install|uninstall|download] [the app|python|updates|a program|{thing}]
[connect|disconnect] [to|from] the [wifi|network|internet|bluetooth speaker|vpn]
[delete|remove|copy|move|open|rename|print] [the|my|all] [file|files|folder|document|pictures|photos]
what is [your|the] ip address
[run|execute] [the script|ls|rm|a command|sudo reboot|the program]
what's the wifi password
is the [internet|network|wifi|server] [down|up|working|slow]
how fast is the [internet|network|cpu]
what processes are running
[change|set] the [password|wallpaper|language|hostname|time zone|clock|date|brightness|time]
[set|change] the [time|clock] to [noon|seven|five o'clock]
format the [disk|sd card|drive]
clean up the [disk|memory|files]
what [is the battery|battery level is it]
how is the battery
what's the cpu [load|usage|speed]
what is the [load|cpu usage|fan speed|voltage|network speed]
what graphics card do you have
""",
    ),
    "camera_other": (
        "unable",
        """
[zoom|pan|tilt|turn|move] the camera [in|out|left|right|to the door|]
turn [on|off] the [camera|screen|display|monitor|flash]
[delete|show|send|print|edit|share|crop] [the|my|that|all] [last|] [picture|photo|photos|clip|video|screenshot]
who is [at the door|in the picture|on the camera|in the room|that]
what is in the [picture|photo|room|box]
is [anyone|somebody|someone|the cat] [at the door|in the room|in the garden|home]
how many [people|pictures|photos|clips] [are there|are in the room|did you take]
do you see [me|the cat|anything|my keys]
where [are|did i put] my [keys|glasses|phone]
[read|describe] what is [on the screen|in the picture|in front of you]
what camera do you have
how many megapixels has the camera
[clean|fix|repair|buy] the camera
put the picture on the [wall|tv|fridge]
hang the picture
watch the [door|baby|house]
[record|make] [an audio|a voice|a sound] [recording|memo|note]
record my voice
record [a song|this song|an album]
make the [text|screen] [bigger|brighter|darker]
brightness up
dim the display
what colour is [my shirt|the wall|this]
""",
    ),
    "other_person_does": (
        "unable",
        """
[{person}|my sister|my boss|he|she] [set|sets|started|wants|asked for] a timer [for {d}|yesterday|]
[{person}|my sister|he|she] [took|takes|wants|sent me] a [picture|photo|screenshot]
i [set|started|bought|broke|saw|like|love] a timer [yesterday|last week|for {d} yesterday|once]
i took a [picture|photo|screenshot] [yesterday|on holiday|of {person}|last week]
i was [told|asked] [the time|to stop|to be quiet] by {person}
we [waited|talked|walked|drove|slept|danced] for {d}
it took [me|us|her] {d} to {task}
the {food} was ready [after|in] {d}
{person} [arrives|leaves|comes] in {d}
the [bus|train|film|meeting] [starts|leaves|ends] in {d}
it has been {d}
i'll be [back|there|home|ready] in {d}
i slept for {d}
see you in {d}
the meeting takes {d}
she turned the volume down
he said it was loud
they stopped the music
the timer [is broken|on the oven is broken|was expensive|looks nice]
my [phone|camera|clock|screen] is [broken|new|old|dead]
time flies
what a waste of time
it was a long time ago
once upon a time
i had a great time [yesterday|with {person}|]
""",
    ),
    "questions_about_permission": (
        "unable",
        """
[can|may|should] i [go out|eat {food}|stop now|have {food}|go home|leave]
[should|would|could] we [go to {city}|eat|leave|buy a {thing}]
what if [i stop|you die|the timer never ends|the world ends|it rains]
can [people|dogs|robots|cats] [tell time|take pictures|set timers|talk|swim]
is it [legal|safe|rude|possible] to [take pictures|record people|film strangers|eat {food}|record a call]
why did you [stop|do that|say that|take a picture|set a timer]
are you allowed to [record|listen to|film] [me|people|us]
do you [record|store|share|sell] [everything|my data|what i say|my voice]
how often should i [{task}|take a picture]
when will you [learn|stop|be smarter|die]
""",
    ),
    "near_words": (
        "unable",
        """
stop the [car|bus|thief|war|train|bleeding]
cancel [my|the] [flight|order|subscription|gym membership|party|show]
help [the poor|{person} move|my mother with the dishes|me move the sofa]
[take|make] [a break|a seat|a bath|a walk|a decision|a nap|a guess|a deep breath]
[turn|switch] [left|right|around|the page|it over]
[show|teach] me how to [dance|swim|code|cook {food}|drive]
[set|put] [the {thing} on fire|the {thing} down|sail|a good example|the mood|a trap|a record]
start [the car|over|a war|a fire|a family|the engine|a company]
what's the [point|matter|problem|difference|deal|plan|catch]
what day works for [you|{person}]
what date should we [meet|get married|choose]
pick a date for [the wedding|the party]
[i have|i got] a [date|hot date] [with {person}|tonight|tomorrow]
how was your [day|date|weekend|time]
[this|that] is a [big|nice|long] [clip|picture|timer|volume]
a paper clip
a clip for my hair
clip my [nails|hair|wings]
the volume of the [sphere|book|box]
which volume of the [encyclopedia|series|book] is it
turn [up|down] the [offer|heat|collar|job|corner]
silence of the lambs
status [quo|symbol|of my order|of my application|of my flight]
memory of [a goldfish|{person}|my childhood]
good memories
how is your [memory of that|mother|back]
the disk of the moon
temperature of the sun
what temperature does [water boil|iron melt|{food} cook] at
my uptime is short
the microphone is [expensive|on the table|broken]
speak [french|german|to {person}|of the devil|up for yourself]
raise [the flag|your hand|your glass|the children|the rent]
lower [the flag|the price|the rent|your weapon]
listen to [this|{person}|the music|your heart|the radio]
close [the book|your eyes|the window|the account]
record [store|label|player|holder]
film [festival|star|director]
count to {n}
count [the sheep|your blessings|me out|the votes]
ring the doorbell
hold [the door|my beer|on|hands]
give me [five|a break|a hand|a hug|a second|a minute|the salt|my keys|a sign]
wait [a minute|for me|{d}|a second]
""",
    ),
    "fragments": (
        "unclear",
        """
set a
for {d}
{d}
{d} ago
the {name}
a {thing}
and then
because
so i
what
uh
hmm
the the
i want
can you
could you please
take a
how much
when
turn the
in the
is it
tell me
give me
and the {name}
with {person}
{n}
{n} percent
{weekday}
tomorrow
today
{person}
{city}
{food}
for the {name}
one of the
to the
if you
my
please
would you
set
start
show
how about
""",
    ),
    "foreign": (
        "unclear",
        """
quelle heure est il
wie spät ist es
was kannst du
que hora es
mets un minuteur de dix minutes
stell einen timer auf fünf minuten
pon un temporizador de cinco minutos
che ore sono
hoe laat is het
bonjour comment ça va
guten morgen
buenos días
wie geht es dir
spiel musik
mach das licht an
allume la lumière
какая сегодня погода
今天天气怎么样
どうもありがとう
kiedy jest obiad
vad är klockan
foto machen bitte
prends une photo
jaka jest temperatura
das wetter morgen
je voudrais une bière
donde está la biblioteca
lautstärke auf fünfzig
arrête la musique
obrigado
привет как дела
""",
    ),
    "plans": (
        "unable",
        """
i [want|need|would like|have] to [{task}|go to {city}|sleep|see {person}|learn french]
let's [go|eat|dance|talk|meet on {weekday}|leave|go to {city}]
i [should|must|will] {task} [tomorrow|later|on {weekday}|]
we are [going to {city}|having {food}|out of {food}|leaving on {weekday}]
i am [going to bed|cooking {food}|leaving|at work|in {city}|on the phone]
{person} is [here|coming|my friend|at the door|late|sleeping]
the {thing} is [broken|on the table|mine|green|too big]
my [dog|cat|daughter|neighbour] is [sick|hungry|barking|asleep]
there is [a spider in the bath|no {food} left|someone outside]
i [found|lost|forgot|broke|bought] [the|my|a] {thing}
i like {food}
do we have [any|enough|more] [{food}|milk|time|plates]
where is [the {thing}|{person}|my {thing}|everybody]
who [ate|took|broke|has] [the {food}|my {thing}|the last one]
pass me the {thing}
bring me [a {thing}|some {food}|the {thing}]
look at [that|the {thing}|{person}|my {thing}]
do you [remember|know] {person}
have you [seen|met|heard of] [{person}|{city}|my {thing}]
go [away|home|to bed|to {city}|faster|on]
come [here|in|back|with me]
try again
say [that again|it again|hello to {person}|cheese please no]
repeat [that|what you said|after me]
what did you say
what did {person} say
speak [slower|faster|english]
""",
    ),
    "vehicles": (
        "devices",
        """
start my car
how much [fuel|gas|petrol|charge] [is left|do i have|is in the tank]
when is my car due for [service|an oil change]
what is the tire pressure
schedule an oil change
how do i change [a tire|the oil|a spark plug]
turn on the [headlights|wipers|heated seats|seat heating]
open the [trunk|sunroof|car windows]
how many miles [per gallon|have i driven]
is my car [locked|charged|ready]
jump start the car
""",
    ),
    "work": (
        "people",
        """
how many [vacation|sick|holiday] days do i have [left|]
[request|submit|approve] [time off|my vacation|a day off] [on {weekday}|next week|]
when do i get paid
what are the company [holidays|rules|hours]
roll over my retirement plan
how do i do my taxes
what's my insurance [plan|number]
call in sick [for me|]
when is the deadline [for {thing}|]
who is my manager
print my [timesheet|payslip]
start the [meeting|presentation|recording of the meeting]
""",
    ),
    "kids": (
        "writing",
        """
help me with [maths|my spelling|fractions]
what sound does a [cow|dog|fox|horse] make
sing the alphabet
tell me a bedtime story
what is {n} take away {n}
how do you draw a [cat|horse|star]
why do i have to [sleep|go to school|eat {food}]
is santa real
what do you want to be when you grow up
teach me [to count|the alphabet|a new word]
""",
    ),
    "home_security": (
        "devices",
        """
arm the alarm [system|]
disarm the [alarm|house]
is the [front door|back door|house] locked
who rang the doorbell
set the [security system|house] to [away|night] mode
has anyone [come in|been in the house] [today|]
turn on the [siren|security lights]
call the police
show me the [front door|garden] feed
are all the windows closed
""",
    ),
    "sports": (
        "knowledge",
        """
when do [the lakers|arsenal|the tigers] play [next|]
did [arsenal|the tigers|our team] win
who is the best [player|runner|goalkeeper] in the world
how many [goals|points] did {person} score
what are the rules of [cricket|chess|rugby]
how long is a [football match|marathon|hockey game]
who plays [tonight|on {weekday}]
what's the world record for [the mile|high jump]
keep score
start the match
""",
    ),
    "animals": (
        "unable",
        """
walk the dog
[is|are] [cats|bats|owls] [nocturnal|mammals|birds|blind]
what is a noctule
how do bats [see|fly|sleep]
my cat is called {person}
did you feed the {thing}
what's a good name for a [dog|cat|hamster]
can dogs eat {food}
the birds are loud today
""",
    ),
    "garden": (
        "unable",
        """
when should i plant [tomatoes|{food}|roses|garlic]
how often do i water [a cactus|the roses|the {thing}]
mow the lawn
what is eating my roses
trim the hedge
how deep do i plant [tulips|garlic]
turn on the [sprinkler|pond pump]
is it time to [prune the roses|harvest|plant garlic]
""",
    ),
}

#: Topics used only to test, and only to validate (threshold, choice of checkpoint).
TEST_TOPICS = frozenset(
    {
        "world_clock",
        "heating",
        "video",
        "money",
        "health",
        "vehicles",
        "howto_timer",
        "other_person_does",
        "sports",
        "animals",
    }
)
VALIDATION_TOPICS = frozenset({"news", "shopping", "kids", "home_security", "work", "questions_about_permission"})
