"""How people ask for each action. Data only.

One line is one template, and whole lines are held out for testing. [a|b|] is a choice (empty: may be left out),
{d} a duration, {c} a short duration, {name} what a timer is for, {p} a percentage, {s} a step in percent.
A line that starts with "!" is the plain way to ask; it is always trained on and never held out.
A line that starts with "?" is a question or a statement: "please" or "can you" are not put before it.
The label after "=>" is the call; $d $name $p stand for the words that filled the slot.
"""

from __future__ import annotations

TIMER_SET = """
![set|start|create|make|add|begin|run|put on|set up] [a|me a|us a|one|another|] timer [for|of] {d} => duration=$d
![set|start|create|make|give me|i need|i want|i would like|let's have|i'd like] a {d} timer => duration=$d
!{d} timer => duration=$d
timer {d} => duration=$d
[a |]timer for {d} => duration=$d
![set|start|create] the timer [to|for|at] {d} => duration=$d
[count down|countdown] [from|for|] {d} => duration=$d
start [a|the] countdown [of|for] {d} => duration=$d
start counting down {d} => duration=$d
[tell|alert|warn|notify|ping|buzz|beep] me [in|after] {d} => duration=$d
let me know when {d} [have passed|is over|are up|is up|have gone by] => duration=$d
[wake me|wake me up] in {d} => duration=$d
[time|clock] {d} [for me|] => duration=$d
?[i need|i want|i'd like] [a|the] timer [for|of] {d} => duration=$d
?[i need|i want] {d} on the [timer|clock] => duration=$d
put {d} on the [timer|clock] => duration=$d
?in {d} [remind|alert|tell|ping] me => duration=$d
remind me in {d} => duration=$d
?how about a {d} timer => duration=$d
set [it|one|another one] for {d} => duration=$d
make it a {d} timer => duration=$d
[keep|hold] a timer running for {d} => duration=$d
[do|try] a {d} [timer|countdown] => duration=$d
another {d} [timer|countdown] => duration=$d
i'm taking a nap wake me in {d} => duration=$d
[beep|ring] in {d} => duration=$d
[set|start] [a|] {d} on [a|the] timer => duration=$d
ring the bell [in|after] {d} => duration=$d
?could i have a timer [for|of] {d} => duration=$d
?can i get a {d} timer => duration=$d
?timer please {d} => duration=$d
?set timer {d} from now => duration=$d
![set|start|create|make] [a|the|my|] {name} timer [for|of] {d} => duration=$d name=$name
[set|start|create|make] a {d} [timer for|timer for the|timer for my] {name} => duration=$d name=$name
[set|start|create|make] a timer [called|named|labelled] {name} [for|of] {d} => duration=$d name=$name
[set|start|create] a {d} timer [called|named|labelled] {name} => duration=$d name=$name
[set|start|create] a {d} {name} timer => duration=$d name=$name
[set|start|create|add] a timer for {d} for [the|my|] {name} => duration=$d name=$name
timer for {name} {d} => duration=$d name=$name
{name} timer {d} => duration=$d name=$name
{d} [timer for|for] [the|my|] {name} => duration=$d name=$name
{d} {name} timer => duration=$d name=$name
[remind me|tell me] [about|of] the {name} in {d} => duration=$d name=$name
?in {d} remind me [about|of] the {name} => duration=$d name=$name
?the {name} [needs|takes|need|wants] {d} [start a timer|set a timer|time it] => duration=$d name=$name
[time|start timing] the {name} for {d} => duration=$d name=$name
let me know when the {name} is done in {d} => duration=$d name=$name
?[i need|i want|i'd like] a {d} timer for [the|my|] {name} => duration=$d name=$name
?[i need|i want] a {name} timer [for|of] {d} => duration=$d name=$name
give the {name} {d} => duration=$d name=$name
[start|set] the {name} countdown [for|at|to] {d} => duration=$d name=$name
remind me in {d} to {task} => duration=$d name=$task
remind me to {task} in {d} => duration=$d name=$task
?in {d} remind me to {task} => duration=$d name=$task
[tell|alert|ping] me in {d} to {task} => duration=$d name=$task
[tell|alert|ping|warn] me to {task} [in|after] {d} => duration=$d name=$task
set a timer for {d} to {task} => duration=$d name=$task
[set a|] reminder in {d} to {task} => duration=$d name=$task
?i have to {task} in {d} remind me => duration=$d name=$task
[set|start|create|make|add] [a|another|one|] timer =>
[start|set] the timer =>
[start|begin] [a|the] countdown =>
?i need a timer =>
timer =>
set a timer for me =>
[set|start|make] [a|the|my] {name} timer => name=$name
[set|start|create] a timer for [the|my|] {name} => name=$name
create a timer [called|named] {name} => name=$name
"""

TIMER_LIST = """
[list|show|show me|read|read out|tell me] [the|my|all|all the|all my] [timers|running timers|active timers|countdowns] =>
?what timers [are running|are set|are active|are there|do i have|have i set|are on] =>
!?which timers [are running|are set|are active|are there|do i have|have i set] =>
?how many timers [are running|are set|are there|do i have|have i set] =>
?how much time is left =>
!?how much time is left on [the|my|that] timer =>
?how [much time|long] [is left|remains|do i have left|is remaining] [on the timer|on my timer|on my timers|] =>
?how long [until|till|before] the timer [goes off|rings|ends|is done|beeps|finishes|is up] =>
?when [does|will] the timer [go off|ring|end|finish|beep] =>
?how long [has the timer got|has the timer|does the timer have] [left|to go|still to go] =>
?[is|are] [there a|there any|any|a] [timer|timers] [running|set|on|active|going] =>
?do i have [a timer|any timers|timers] [running|set|on|active|] =>
?what's [on|left on|the state of|the status of] [my|the] [timer|timers] =>
?[timer|timers] status =>
?check [the|my] [timer|timers] =>
?is the timer [done|still running|over|finished] [yet|] =>
give me [the|my|a list of my|a list of] [timers|running timers] =>
?time left on [the|my] timer =>
?time remaining =>
[say|tell me] how long [is left|is left on the timer|the timer has left] =>
[tell me|say] when the timer [ends|rings|goes off] =>
?are my timers still [running|on|going] =>
?what is the timer at =>
?where is [the|my] timer at =>
my timers =>
?have i got [any timers|a timer] [running|on|going|set|] =>
?how long to go on [the|my] timer =>
?how [much time|long] [is left|is left on|remains on|remains for|is left for] the {name} timer => name=$name
?how [much time|long] [is left|is left on|is left for] the {name} => name=$name
?when [is|will] the {name} [timer done|timer go off|timer ring|be done|be ready|timer finished] => name=$name
?how long [until|till|before] the {name} [timer goes off|timer rings|is done|is ready|are done] => name=$name
?how is the {name} timer [doing|going] => name=$name
?is the {name} timer [done|still running|over|finished|running] [yet|] => name=$name
[check|show|show me|read] the {name} timer => name=$name
?what is left on [the|my] {name} timer => name=$name
?time left on [the|my] {name} timer => name=$name
?how long does the {name} timer [still have|have left|have to go] => name=$name
?{name} timer status => name=$name
?how long has the {name} timer [got|got left|to go] => name=$name
"""

TIMER_CANCEL = """
![cancel|stop|delete|remove|end|kill|clear|turn off|switch off|drop|abort|scrap] [the|my|that|this] timer =>
[cancel|stop|delete|remove|end|kill|abort] timer =>
[cancel|stop|end|abort|kill] the countdown =>
turn [the|my|that] timer off =>
[get rid of|forget|forget about|never mind|scratch] [the|my|that] timer =>
?i don't need the timer any more =>
?i no longer need [the|my|that] timer =>
?the timer is not needed any more =>
?no more timer =>
?[don't|do not] need [the|that] timer [any more|now] =>
take [the|that] timer off =>
[shut|shut down] [the|that] timer =>
call off the timer =>
undo [the|that|my] timer =>
?the timer can go =>
[cancel|stop|delete|remove|end|kill|clear|turn off|switch off|drop] all [timers|the timers|my timers|of my timers|running timers] => which=all
![cancel|stop|delete|remove|end|kill|clear|drop] [the|my|every|each] timers => which=all
[cancel|stop|delete|remove|clear] every timer => which=all
[cancel|stop|clear|delete] [them all|all of them] [the timers i mean|timers] => which=all
[get rid of|forget] [all timers|all the timers|all my timers|every timer] => which=all
[turn|switch] all [timers|the timers|my timers] off => which=all
?no more timers => which=all
?i don't need any [timers|of the timers|of my timers] any more => which=all
wipe [all|all the|all my|my] timers => which=all
[cancel|stop|delete|remove|end|kill|clear|turn off|switch off|drop|abort] [the|my|that] {name} timer => name=$name
[cancel|stop|delete|remove|end] the timer [for the|for|for my|called|named] {name} => name=$name
turn the {name} timer off => name=$name
[get rid of|forget|forget about|never mind|scratch] the {name} timer => name=$name
?i don't need the {name} timer any more => name=$name
?the {name} timer is not needed any more => name=$name
?the {name} [is|are] done [cancel|stop|delete] the timer => name=$name
call off the {name} timer => name=$name
?no more {name} timer => name=$name
[cancel|stop|forget] the reminder [about the|for the|for] {name} => name=$name
[cancel|stop|forget|delete] the reminder to {task} => name=$task
[cancel|stop|delete|remove|end|kill|clear|turn off|drop] [the|my|that] {d} timer => duration=$d
[cancel|stop|delete|remove|end] the timer [for|of] {d} => duration=$d
turn the {d} timer off => duration=$d
[get rid of|forget|forget about|never mind|scratch] the {d} timer => duration=$d
?i don't need the {d} timer any more => duration=$d
call off the {d} [timer|one] => duration=$d
"""

TIME = """
!?what time is it [now|right now|at the moment|currently|here|] =>
!?what's the time [now|right now|please|] =>
?what is the [time|current time|hour|exact time|local time] =>
[tell|give|show] me the [time|current time|exact time|hour|local time] =>
!?do you [know|have] [the time|what time it is] =>
?have you got the time =>
?[can|could] you tell me [the time|what time it is] =>
[say|read|read out|announce] the [time|current time] =>
?how late is it [now|already|] =>
?the time [please|now|] =>
current time =>
!time =>
time check =>
check the [time|clock] =>
?i need [the|to know the] time =>
?i'd like to know [the time|what time it is] =>
?i want to know [the time|what time it is] =>
tell me what time it is [now|] =>
tell me what the time is =>
?what does the clock say =>
?what's on the clock =>
?what hour is it =>
?what time do we have [now|] =>
?what time have you got =>
?is it late [already|yet|] =>
?got the time =>
?may i [ask|know] [the time|what time it is] =>
?any idea what time it is =>
?i wonder what time it is =>
?is it [noon|midnight|five|eight o'clock|past ten|past noon] [already|yet] =>
look at the clock for me =>
let me know [the time|what time it is] =>
?wondering about the time =>
?time is it =>
?what time it is =>
"""

DATE = """
!?what's the date [today|] => day=today
?what is the date [today|] => day=today
!?what [day|date] is it [today|] => day=today
?what day is today => day=today
?what is today's date => day=today
?what's today's date => day=today
[tell|give|show] me [the date|today's date|what day it is|the day] => day=today
?which [day|date] is it [today|] => day=today
?what day of the [week|month] is it [today|] => day=today
?which day of the week is it => day=today
?do you know [the date|what day it is|today's date|what date it is] => day=today
[say|read|read out] [the date|today's date] => day=today
the date please => day=today
!date => day=today
today's date => day=today
?what's today => day=today
?what month is it => day=today
?what year is it => day=today
?what month are we in => day=today
?which year are we in => day=today
?is [it|today] [monday|tuesday|wednesday|thursday|friday|saturday|sunday] [today|] => day=today
?i need [the date|today's date] => day=today
?i [want|would like] to know [the date|what day it is] => day=today
?what day do we have [today|] => day=today
?what date do we have => day=today
?i wonder what day it is => day=today
?have you got the date => day=today
current date => day=today
let me know [the date|what day it is] => day=today
!?what [day|date] is it tomorrow => day=tomorrow
?what [day|date] is tomorrow => day=tomorrow
?what's tomorrow's date => day=tomorrow
?what is the date tomorrow => day=tomorrow
?which day is tomorrow => day=tomorrow
tell me [tomorrow's date|the date tomorrow|what day it is tomorrow|what day tomorrow is] => day=tomorrow
?is tomorrow [monday|tuesday|wednesday|thursday|friday|saturday|sunday] => day=tomorrow
?what day will it be tomorrow => day=tomorrow
?what will the date be tomorrow => day=tomorrow
tomorrow's date => day=tomorrow
?do you know what day it is tomorrow => day=tomorrow
?which weekday is tomorrow => day=tomorrow
?what [day|date] was it yesterday => day=yesterday
?what [day|date] was yesterday => day=yesterday
?what was yesterday's date => day=yesterday
?what was the date yesterday => day=yesterday
?which day was yesterday => day=yesterday
tell me [yesterday's date|the date yesterday|what day it was yesterday|what day yesterday was] => day=yesterday
?was yesterday [monday|tuesday|wednesday|thursday|friday|saturday|sunday] => day=yesterday
yesterday's date => day=yesterday
?do you know what day it was yesterday => day=yesterday
?which weekday was yesterday => day=yesterday
"""

SNAPSHOT = """
![take|snap|make|get|grab|shoot] a [picture|photo|photograph|snapshot|pic|shot] => source=camera
[take|snap|make|get|grab|capture] [a|me a] [picture|photo|snapshot|pic|still|frame|image] [with|from|using] the [camera|webcam] => source=camera
[take|shoot] a [camera|webcam] [picture|photo|snapshot|shot] => source=camera
[camera|webcam] [snapshot|picture|photo|shot] => source=camera
[photograph|capture] [this|the room|that|what you see|what is in front of you|me|us|the scene] => source=camera
[take|snap] a [picture|photo] of [me|us|this|the room|that|the door|what you see|what is in front of you] => source=camera
[show me|let me see] what the camera [sees|is seeing|shows] => source=camera
?what does the camera see => source=camera
!snapshot => source=camera
snapshot [from|of] the camera => source=camera
[save|store|keep] [a|one] [picture|photo|frame|snapshot|image] [from|of] the camera => source=camera
picture please => source=camera
?can i have a [picture|photo] [from the camera|] => source=camera
?i want a [picture|photo|snapshot] [from the camera|] => source=camera
?i need a [picture|photo|snapshot] [from the camera|of this] => source=camera
use the camera to take a [picture|photo] => source=camera
[grab|get|save] a [still|frame|picture] from the [camera|webcam] => source=camera
say cheese => source=camera
one [picture|photo] please => source=camera
take another [picture|photo|snapshot] => source=camera
photo time => source=camera
look through the camera [and take a picture|and save a picture] => source=camera
point and shoot => source=camera
![take|make|get|grab|capture|save] a [screenshot|screen shot|screen capture|screen grab] => source=display
!screenshot => source=display
[take|snap|make|grab|capture|save] [a|me a] [picture|photo|snapshot|shot|image] of [the|my] [screen|display|monitor|desktop] => source=display
![capture|photograph|grab|save] [the|my] [screen|display|monitor|desktop] => source=display
snapshot [of|from] [the|my] [display|screen] => source=display
[display|screen|desktop] [snapshot|picture] => source=display
[save|store|keep] what is on [the|my] [screen|display|monitor] => source=display
[save|store|keep] [a|one] [picture|image|copy|frame] of the [display|screen|monitor] => source=display
?what is on the [screen|display] => source=display
?i [need|want] a [screenshot|picture of the screen|snapshot of the display] => source=display
?can i have a [screenshot|picture of the screen] => source=display
screenshot please => source=display
[take|get] another screenshot => source=display
print the screen to a file => source=display
[grab|get] the [display|screen] [as a picture|as an image] => source=display
[take|make] a still of the [display|screen] => source=display
"""

CLIP = """
![record|film|capture|shoot|take] [a|me a|] [clip|video|video clip|movie] => source=camera
[record|film|capture|shoot|take|save] a [clip|video|video clip] [from|with|using] the [camera|webcam] => source=camera
[start|begin] [recording|filming] => source=camera
[film|record] [this|me|us|the room|what you see|the door] => source=camera
record [from|with] the [camera|webcam] => source=camera
record the camera => source=camera
camera clip => source=camera
?i [want|need] a [clip|video] [from the camera|] => source=camera
[record|film|capture|shoot|take|save] [a|] {c} [clip|video|of video|video clip] => source=camera duration=$c
[record|film|capture|shoot|take|save] a {c} [clip|video] [from|with|using] the [camera|webcam] => source=camera duration=$c
[record|film|capture|save] {c} [from|with|of|on] the [camera|webcam] => source=camera duration=$c
[record|film|shoot] [a clip|a video|video|] for {c} => source=camera duration=$c
[film|record] [this|me|us|the room|what you see|the door] for {c} => source=camera duration=$c
[record|film] the camera for {c} => source=camera duration=$c
{c} clip [from|of] the camera => source=camera duration=$c
[record|film|make] {c} of [video|footage] => source=camera duration=$c
camera clip {c} => source=camera duration=$c
?i [want|need] a {c} [clip|video] [from the camera|] => source=camera duration=$c
[make|take|shoot] a [clip|video] [of|lasting|that lasts] {c} => source=camera duration=$c
[save|keep|store] the last {c} [from|of] the camera => source=camera duration=$c
for {c} record [the camera|with the camera] => source=camera duration=$c
[let the camera run|run the camera] for {c} => source=camera duration=$c
[record|film|capture] [the|my] [screen|display|desktop|monitor] => source=display
[record|capture|make|take|save] a [clip|video|screen recording|recording] of the [screen|display|desktop] => source=display
[start|make|take|do] a [screen recording|screencast|screen capture video] => source=display
screen recording => source=display
display clip => source=display
?i [want|need] a [clip|video] of the [screen|display] => source=display
[record|film|capture] [the|my] [screen|display|desktop|monitor] for {c} => source=display duration=$c
[record|capture|make|take|save] a {c} [clip|video|recording] of the [screen|display|desktop] => source=display duration=$c
[record|capture|save] {c} [of|from] the [screen|display|desktop] => source=display duration=$c
[make|take|do] a {c} [screen recording|screencast] => source=display duration=$c
[screen recording|screencast] [of|for] {c} => source=display duration=$c
display clip {c} => source=display duration=$c
{c} clip [from|of] the [display|screen] => source=display duration=$c
?i [want|need] a {c} [clip|video] of the [screen|display] => source=display duration=$c
[save|keep|store] the last {c} of the [display|screen] => source=display duration=$c
for {c} record the [display|screen] => source=display duration=$c
[make|take] a [recording|video] of the [screen|display] [for|lasting] {c} => source=display duration=$c
"""

STATUS = """
!?how [hot|warm] [are you|is the board|is the processor|is the cpu|is the chip|is the device|is it inside|is your processor|is the system|is your cpu] => what=temperature
?what's [the|your] [temperature|core temperature|cpu temperature|processor temperature|board temperature|chip temperature] => what=temperature
?what is [the|your] [temperature|core temperature|cpu temperature|processor temperature|board temperature] => what=temperature
?what is the temperature of the [board|cpu|processor|chip|device|system] => what=temperature
[tell|give|show] me [the|your] [temperature|cpu temperature|board temperature|temperature of the board] => what=temperature
[cpu|board|processor|system|chip|core] temperature => what=temperature
[check|read|report|measure] [the|your] [temperature|cpu temperature|board temperature|temperature sensor|heat] => what=temperature
?are you [overheating|too hot|hot|warm|getting hot] => what=temperature
?is the [board|processor|cpu|chip|device] [overheating|too hot|hot|getting hot|cool enough] => what=temperature
?do you run [hot|too hot|cool] => what=temperature
!?temperature [please|check|] => what=temperature
?how many degrees [is the board|is the cpu|are you at|is the processor] => what=temperature
?what does the [temperature sensor|thermal sensor|thermometer] say => what=temperature
?is the [heat|temperature] [ok|fine|all right] => what=temperature
?do you need a fan => what=temperature
!?how much [memory|ram|free memory|free ram] [is free|is left|is used|is in use|do you have|have you got|are you using|is available|remains|is there] => what=memory
?how much memory [do you use|does it use|is taken] => what=memory
?what's [the|your] [memory usage|memory use|ram usage|free memory|memory] => what=memory
?what is [the|your] [memory usage|memory use|ram usage|free memory] => what=memory
[tell|give|show] me [the|your] [memory usage|memory use|free memory|ram usage|memory|ram] => what=memory
[memory|ram] [usage|use|status|check|] => what=memory
[check|read|report] [the|your] [memory|ram|memory usage|free memory] => what=memory
?are you [running out of|low on|short of] [memory|ram] => what=memory
?is there [enough|any|still] [memory|ram] [left|free] => what=memory
?is the [memory|ram] full => what=memory
?how full is the [memory|ram] => what=memory
free memory => what=memory
?how is the [memory|ram] [doing|looking] => what=memory
?how much [disk space|disk|storage|space|free space|room] [is free|is left|is used|do you have|have you got|is available|remains|is there] => what=disk
?how much [space|room] is [left|free] on [the disk|the card|the sd card|the drive|the ssd] => what=disk
?what's [the|your] [disk usage|disk use|free disk space|storage|disk space] => what=disk
?what is [the|your] [disk usage|disk use|free disk space|disk space|storage space] => what=disk
[tell|give|show] me [the|your] [disk usage|disk space|free space|storage|free disk space] => what=disk
[disk|storage] [usage|space|status|check|use] => what=disk
[check|read|report] [the|your] [disk|disk space|storage|disk usage|free space|sd card] => what=disk
?are you [running out of|low on|short of] [disk space|storage|disk|space] => what=disk
?is there [enough|any|still] [disk space|space|storage|room on the disk] [left|free] => what=disk
?is the [disk|card|drive|sd card|storage] [full|nearly full|almost full] => what=disk
?how full is the [disk|card|drive|sd card|storage|ssd] => what=disk
free [disk space|space|storage] => what=disk
?how is the [disk|storage] [doing|looking] => what=disk
?how long have you been [up|running|on|awake|online|up and running] => what=uptime
?how long has the [board|device|system|machine|computer] been [up|running|on|online] => what=uptime
!?what's [the|your] uptime => what=uptime
?what is [the|your] [uptime|up time] => what=uptime
[tell|give|show] me [the|your] uptime => what=uptime
[uptime|up time|system uptime] => what=uptime
[check|report|read] [the|your] uptime => what=uptime
?when [were you|was the board|was the system|was the device] [started|last started|last restarted|booted|switched on|rebooted] => what=uptime
?when did you [start|boot|last restart|start up|wake up] => what=uptime
?since when [are you|have you been] [running|on|up] => what=uptime
tell me how long you have been [running|up|on] => what=uptime
?how many [hours|days] have you been [up|running|on] => what=uptime
?how long since the last [reboot|restart|boot] => what=uptime
!?status [please|] => what=all
[status report|system status|board status|health check|system check|health report] => what=all
[give|show|tell] me [the|your|a|] [status|system status|status report|state of the board|system report] => what=all
?how are [things|the systems|all systems] [on the board|running|] => what=all
?what's [the|your] [status|state|condition|system status] => what=all
?what is [the|your] [status|state|condition|system status] => what=all
[check|report] [yourself|the system|your status|the status|the board|all systems|system health] => what=all
?are [all systems|your systems] [ok|fine|good|running] => what=all
?is [the board|the system|everything] [ok|fine|healthy|running well|all right] => what=all
?how is the [board|system|machine|device|hardware] [doing|today|feeling|] => what=all
run a [self check|health check|system check|self test|check] => what=all
[run|do] diagnostics => what=all
report => what=all
?how healthy is the [board|system] => what=all
"""

VOLUME_SET = """
![set|change|put|turn|bring|adjust] the volume [to|at] {p} => level=$p
[set|put|turn|change] [volume|the sound|the loudness|the speaker volume|your volume|the speaker] [to|at] {p} => level=$p
volume [to|at|] {p} => level=$p
[make|i want] the volume {p} => level=$p
turn [it|the sound|the volume] [up to|down to] {p} => level=$p
![raise|increase|lower|reduce|decrease|bring] the volume to {p} => level=$p
{p} volume => level=$p
[play|speak|talk] at {p} [volume|] => level=$p
sound [to|at|level] {p} => level=$p
volume level {p} => level=$p
?the volume should be [at|] {p} => level=$p
set [it|the level|your voice] to {p} volume => level=$p
[i'd like|i would like] the volume at {p} => level=$p
[dial|crank] the volume [up to|down to|to] {p} => level=$p
go to {p} volume => level=$p
[set|change|adjust] the volume =>
set the volume level =>
"""

VOLUME_UP = """
[turn|turn up|raise|increase|crank up|boost|pump up] the [volume|sound|speaker|loudness] [up|] =>
turn [it|yourself] up [a bit|a little|] =>
![louder|a bit louder|a little louder|much louder|more volume|volume up] =>
[speak|talk|play|be] [louder|a bit louder|up] =>
make it [louder|a bit louder|a little louder] =>
?[i can't|i can hardly|i can barely] hear you =>
?[you are|it is|that is|you're|that's] too quiet =>
?the volume is too low =>
give me more [volume|sound] =>
bring the [volume|sound] up [a bit|a notch|a little|] =>
[raise|increase] your [voice|volume] =>
crank it up =>
[turn|bring] the volume up a [notch|touch|little|bit] =>
volume higher =>
?could it be louder =>
[turn|turn up|raise|increase] the volume [up|] by {s} => step=$s
volume up [by|] {s} => step=$s
[increase|raise|boost] [volume|the sound|it|your volume] by {s} => step=$s
turn [it|the sound] up [by|] {s} => step=$s
{s} [louder|more volume] => step=$s
make it {s} louder => step=$s
add {s} to the volume => step=$s
"""

VOLUME_DOWN = """
![turn|turn down|lower|decrease|reduce|drop|cut] the [volume|sound|speaker|loudness] [down|] =>
turn [it|yourself] down [a bit|a little|] =>
![quieter|a bit quieter|a little quieter|much quieter|softer|less volume|volume down|less loud] =>
[speak|talk|play|be] [quieter|more quietly|softer|a bit softer] =>
make it [quieter|a bit quieter|a little quieter|softer|less loud] =>
?[you are|it is|that is|you're|that's] too loud =>
?the volume is too high =>
bring the [volume|sound] down [a bit|a notch|a little|] =>
[lower|reduce|drop] your [voice|volume] =>
keep it down =>
[turn|bring] the volume down a [notch|touch|little|bit] =>
volume lower =>
?could it be quieter =>
?[not so loud|don't be so loud|less noise] =>
[keep|lower] your voice down =>
[turn|turn down|lower|decrease|reduce] the volume [down|] by {s} => step=$s
volume down [by|] {s} => step=$s
[decrease|lower|reduce|cut] [volume|the sound|it|your volume] by {s} => step=$s
turn [it|the sound] down [by|] {s} => step=$s
{s} [quieter|softer|less volume] => step=$s
make it {s} [quieter|softer] => step=$s
take {s} off the volume => step=$s
"""

VOLUME_MUTE = """
!mute the [sound|volume|speaker|speakers|loudspeaker|audio|output] =>
[turn|switch] off the [sound|speaker|speakers|loudspeaker|audio] =>
[turn|switch] the [sound|speaker|speakers|loudspeaker|audio] off =>
[silence|kill|cut] the [sound|speaker|speakers|loudspeaker|audio] =>
[sound|audio|speaker|speakers] off =>
no sound =>
[sound|speaker|volume] mute =>
?i want no sound =>
disable the [sound|speaker|audio|speakers] =>
make no sound =>
shut off the [sound|speaker|audio] =>
"""

VOLUME_UNMUTE = """
unmute the [sound|volume|speaker|speakers|loudspeaker|audio|output] =>
[turn|switch] on the [sound|speaker|speakers|loudspeaker|audio] =>
[turn|switch] the [sound|speaker|speakers|loudspeaker|audio] [on|back on|on again] =>
[sound|audio|speaker|speakers] on =>
[sound|speaker|volume] unmute =>
?i want sound again =>
[enable|restore] the [sound|speaker|audio|speakers] =>
bring [the sound|the audio] back =>
give me the sound back =>
"""

MUTE = """
!mute =>
!mute [yourself|the microphone|the mic|your microphone|your mic|your ears] =>
[turn|switch] off the [microphone|mic] =>
[turn|switch] the [microphone|mic] off =>
[turn|switch] [off your microphone|your mic off|off your ears] =>
[stop|quit] listening [to us|to me|] =>
[close|disable|shut|shut off|cut] [the|your] [microphone|mic] =>
[microphone|mic] [off|mute] =>
don't listen [any more|now|to us|] =>
[close|cover] your ears =>
go deaf =>
?i don't want you to listen [now|any more|] =>
[privacy please|privacy mode|privacy] =>
?no listening [now|please|] =>
go on mute =>
"""

UNMUTE = """
!unmute =>
unmute [yourself|the microphone|the mic|your microphone|your mic|your ears] =>
[turn|switch] on the [microphone|mic] =>
![turn|switch] the [microphone|mic] [on|back on|on again] =>
[turn|switch] your [microphone|mic] [on|back on] =>
[start listening|listen] again =>
[open|enable] [the|your] [microphone|mic] =>
[microphone|mic] [on|unmute] =>
open your ears =>
you [may|can] listen again =>
listen to [me|us] again =>
start listening [to me|to us|] =>
end privacy mode =>
come off mute =>
"""

HELP = """
!help =>
help [me|me out] =>
!?what can you do [for me|] =>
?what can i [say|ask|ask you|tell you|ask you to do] =>
?what [do you do|are you able to do|are your abilities|are your skills|are you capable of|are your functions|can i use you for] =>
?how do you work =>
?how do i use you =>
?how can you help [me|] =>
[list|show me|show|tell me|name] [your|all your|the] [commands|abilities|actions|skills|functions|features] =>
!tell me what you can do =>
?which [commands|actions|requests] [do you know|do you understand|are there|can you handle] =>
?what commands [do you know|do you understand|are there|can i use] =>
?what do you understand =>
?i need [help|some help|your help] =>
?what are my options =>
[explain|say|show me] what you can do =>
?what are you good [for|at] =>
?what else can you do =>
give me [some|] help =>
?what should i [say|ask] =>
instructions [please|] =>
show [the|] help =>
?i don't know what to [say|ask] =>
?can you help me =>
?what kind of things can you do =>
"""

STOP = """
!stop =>
stop [it|that|this|now|talking|speaking|right there] =>
[be quiet|quiet|silence|hush|shush|shut up|enough|that's enough|okay stop|that will do] =>
?[quiet please|silence please|stop please|enough now|enough already] =>
[cancel|cancel that|abort|halt|pause] =>
[never mind|nevermind|forget it|leave it|drop it|skip it] =>
stop [the noise|the ringing|the beeping|the alarm|ringing|beeping] =>
[cease|quit it|cut it out|knock it off] =>
[stop|end] the answer =>
no more talking =>
hold your tongue =>
[end it|end this] =>
okay [enough|that's enough|thanks that's enough] =>
zip it =>
be silent =>
don't say any more =>
?you can stop [now|talking|speaking|] =>
"""

ACTIONS: dict[str, str] = {
    "timer.set": TIMER_SET,
    "timer.list": TIMER_LIST,
    "timer.cancel": TIMER_CANCEL,
    "time": TIME,
    "date": DATE,
    "snapshot": SNAPSHOT,
    "clip": CLIP,
    "status": STATUS,
    "volume.set": VOLUME_SET,
    "volume.up": VOLUME_UP,
    "volume.down": VOLUME_DOWN,
    "volume.mute": VOLUME_MUTE,
    "volume.unmute": VOLUME_UNMUTE,
    "mute": MUTE,
    "unmute": UNMUTE,
    "help": HELP,
    "stop": STOP,
}
