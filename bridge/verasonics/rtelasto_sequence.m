function S = rtelasto_sequence(Trans, options)
%RTELASTO_SEQUENCE  A sequence that hands every acquired frame to rtelasto, none skipped, none twice.
%   S = rtelasto_sequence(Trans, options) returns a struct with P, Resource, TW, TX, Receive, Process,
%   SeqControl, Event and, with source 'inter', PData, Recon and ReconInfo.
%   options is a struct; by default
%     source         'receive': channel data; 'inter': the scanner's own IQ pixels
%     n_angles       3      plane waves compounded
%     largest_angle  8      of them, degrees
%     focus_mm       0      depth of the focus; above 0 a walking aperture in place of plane waves:
%                           one line a transmit, straight down from an element
%     n_lines        64     of them, around the middle
%     f_number       2      focus_mm over the width of the aperture that fires
%     end_depth_mm   40
%     frame_rate_hz  50
%     n_frames       4      in the receive ring, at least 2
%     sample_mode    'NS200BW', 'BS100BW', 'BS67BW' or 'BS50BW'
%     sound_speed    1540   m/s
%     simulate       0      Resource.Parameters.simulateMode
%
%   Every frame has events of its own: its transmits, the last with transferToHost; then External
%   processing that waits for just this transfer and marks it processed after, which is what makes
%   frames consecutive. With an asynchronous sequence and srcframenum -1 they would skip and repeat.
defaults = struct('source', 'receive', 'n_angles', 3, 'largest_angle', 8, 'focus_mm', 0, ...
    'n_lines', 64, 'f_number', 2, 'end_depth_mm', 40, 'frame_rate_hz', 50, 'n_frames', 4, ...
    'sample_mode', 'NS200BW', 'sound_speed', 1540, 'simulate', 0);
if nargin < 2
    options = struct();
end
P = with_defaults(options, defaults);
n_channels = min(128, Trans.numelements);
per_mm = Trans.frequency / (P.sound_speed / 1000); % wavelengths
P.n_transmits = P.n_angles;
if P.focus_mm > 0
    P.n_transmits = P.n_lines;
end
P.startDepth = 2;
P.endDepth = ceil(P.end_depth_mm * per_mm);
% Far enough that the outermost element still hears the deepest, opposite corner.
P.maxAcqLength = ceil(sqrt(P.endDepth^2 + ((n_channels - 1) * Trans.spacing)^2));

Resource.Parameters = struct('numTransmit', n_channels, 'numRcvChannels', n_channels, ...
    'speedOfSound', P.sound_speed, 'verbose', 2, 'initializeOnly', 0, 'simulateMode', P.simulate);
per_wave = struct('NS200BW', 4, 'BS100BW', 2, 'BS67BW', 4 / 3, 'BS50BW', 1);
rows = 128 * ceil(2 * (P.maxAcqLength - P.startDepth) * per_wave.(P.sample_mode) / 128);
Resource.RcvBuffer = struct('datatype', 'int16', 'rowsPerFrame', P.n_transmits * rows, ...
    'colsPerFrame', n_channels, 'numFrames', P.n_frames);

TW = struct('type', 'parametric', 'Parameters', [Trans.frequency, 0.67, 2, 1]);
% The middle 128 elements: an L12-5 has more elements than channels, behind a multiplexer.
aperture = 1 + floor((Trans.numelements - n_channels) / 2);
TX = repmat(struct('waveform', 1, 'Origin', [0 0 0], 'Apod', ones(1, n_channels), ...
    'aperture', aperture, 'focus', 0, 'Steer', [0 0], 'Delay', zeros(1, n_channels)), 1, P.n_transmits);
active_x = Trans.ElementPos(aperture:aperture + n_channels - 1, 1)';
if strcmp(Trans.units, 'mm')
    active_x = active_x * per_mm;
end
if P.focus_mm > 0
    TX = walking_aperture(TX, active_x, P, per_mm);
else
    TX = plane_waves(TX, active_x, P);
end

Receive = repmat(struct('Apod', ones(1, n_channels), 'aperture', aperture, ...
    'startDepth', P.startDepth, 'endDepth', P.maxAcqLength, 'TGC', 1, 'bufnum', 1, 'framenum', 1, ...
    'acqNum', 1, 'sampleMode', P.sample_mode, 'mode', 0, 'callMediaFunc', 0), ...
    1, P.n_transmits * P.n_frames);
for i = 1:P.n_frames
    Receive(P.n_transmits * (i - 1) + 1).callMediaFunc = 1;
    for j = 1:P.n_transmits
        Receive(P.n_transmits * (i - 1) + j).framenum = i;
        Receive(P.n_transmits * (i - 1) + j).acqNum = j;
    end
end

S = struct('P', P, 'Resource', Resource, 'TW', TW, 'TX', TX, 'Receive', Receive);
if strcmp(P.source, 'inter')
    S = add_reconstruction(S, Trans, n_channels);
end
S = add_events(S);
end

function P = with_defaults(options, defaults)
P = defaults;
names = fieldnames(options);
for k = 1:numel(names)
    if ~isfield(defaults, names{k})
        error('rtelasto:sequence:options', 'options.%s is none of: %s', names{k}, ...
            strjoin(fieldnames(defaults)', ', '));
    end
    P.(names{k}) = options.(names{k});
end
if ~any(strcmp(P.source, {'receive', 'inter'}))
    error('rtelasto:sequence:options', 'options.source must be ''receive'' or ''inter''');
end
if ~(P.focus_mm >= 0)
    error('rtelasto:sequence:options', ...
        'options.focus_mm must be a depth, or 0 for plane waves, got %g', P.focus_mm);
end
if ~(P.f_number > 0)
    error('rtelasto:sequence:options', 'options.f_number must be above 0, got %g', P.f_number);
end
if P.focus_mm > 0 && strcmp(P.source, 'inter')
    error('rtelasto:sequence:options', 'options.focus_mm needs the source ''receive''');
end
if P.focus_mm > P.end_depth_mm
    error('rtelasto:sequence:options', ...
        'options.focus_mm %g lies deeper than end_depth_mm %g: a wide beam, which cannot be sent', ...
        P.focus_mm, P.end_depth_mm);
end
if P.n_frames < 2 || mod(P.n_frames, 2)
    error('rtelasto:sequence:options', 'options.n_frames must be even and at least 2');
end
end

function TX = plane_waves(TX, active_x, P)
angles = 0;
if P.n_angles > 1
    angles = linspace(-P.largest_angle, P.largest_angle, P.n_angles) * pi / 180;
end
for k = 1:numel(TX)
    TX(k).Steer = [angles(k) 0];
    delay = active_x * sin(angles(k)); % wavelengths; the first element fires at 0
    TX(k).Delay = delay - min(delay);
end
end

function TX = walking_aperture(TX, active_x, P, per_mm)
% One line a transmit, straight down from elements around the middle; those fire that lie near it.
before = floor((numel(active_x) - P.n_lines) / 2);
if P.n_lines < 2 || before < 0
    error('rtelasto:sequence:options', 'options.n_lines must lie in 2 to %d, got %g', ...
        numel(active_x), P.n_lines);
end
focus = P.focus_mm * per_mm;
for k = 1:numel(TX)
    line = active_x(before + k);
    TX(k).Origin = [line 0 0];
    TX(k).focus = focus;
    TX(k).Apod = double(abs(active_x - line) <= focus / (2 * P.f_number));
    delay = -hypot(active_x - line, focus); % wavelengths; the first element that fires does so at 0
    TX(k).Delay = (delay - min(delay(TX(k).Apod > 0))) .* TX(k).Apod;
end
end

function S = add_reconstruction(S, Trans, n_channels)
% Pixels half a wavelength apart in depth and one element apart laterally, over the active aperture.
P = S.P;
S.Resource.InterBuffer = struct('numFrames', 1);
S.Resource.ImageBuffer = struct('numFrames', P.n_frames);
S.PData = struct('PDelta', [Trans.spacing 0 0.5], ...
    'Size', [ceil((P.endDepth - P.startDepth) / 0.5), n_channels, 1], ...
    'Origin', [-Trans.spacing * (n_channels - 1) / 2, 0, P.startDepth]);
S.Recon = repmat(struct('senscutoff', 0.6, 'pdatanum', 1, 'rcvBufFrame', 1, 'IntBufDest', [1 1], ...
    'ImgBufDest', [0 0], 'RINums', 1:P.n_angles), 1, P.n_frames);
S.ReconInfo = repmat(struct('mode', 'accumIQ', 'txnum', 1, 'rcvnum', 1, 'regionnum', 1), ...
    1, P.n_angles * P.n_frames);
for i = 1:P.n_frames
    S.Recon(i).rcvBufFrame = i;
    S.Recon(i).RINums = P.n_angles * (i - 1) + (1:P.n_angles);
    for j = 1:P.n_angles
        k = P.n_angles * (i - 1) + j;
        S.ReconInfo(k).txnum = j;
        S.ReconInfo(k).rcvnum = k;
        if j == 1
            S.ReconInfo(k).mode = 'replaceIQ';
        end
    end
end
end

function S = add_events(S)
P = S.P;
inter = strcmp(P.source, 'inter');
acquisition_us = ceil(2 * P.maxAcqLength / S.TW.Parameters(1)) + 20; % there, back, and a margin
frame_us = round(1e6 / P.frame_rate_hz) - (P.n_transmits - 1) * acquisition_us;
if frame_us < acquisition_us
    error('rtelasto:sequence:rate', '%d transmits of %d us do not fit %g frames/s', P.n_transmits, ...
        acquisition_us, P.frame_rate_hz);
end
SeqControl = struct('command', {'jump', 'timeToNextAcq', 'timeToNextAcq', 'returnToMatlab'}, ...
    'argument', {1, acquisition_us, frame_us, []});
blank = struct('info', '', 'tx', 0, 'rcv', 0, 'recon', 0, 'process', 0, 'seqControl', 0);
Event = blank([]);
Process = struct('classname', {}, 'method', {}, 'Parameters', {});
for i = 1:P.n_frames
    for j = 1:P.n_transmits
        acquire = blank;
        acquire.info = sprintf('frame %d, transmit %d', i, j);
        acquire.tx = j;
        acquire.rcv = P.n_transmits * (i - 1) + j;
        acquire.seqControl = 2;
        Event(end + 1) = acquire; %#ok<AGROW>
    end
    transfer = numel(SeqControl) + 1;
    SeqControl(transfer) = struct('command', 'transferToHost', 'argument', []);
    SeqControl(transfer + 1) = struct('command', 'waitForTransferComplete', 'argument', transfer);
    SeqControl(transfer + 2) = struct('command', 'markTransferProcessed', 'argument', transfer);
    Event(end).seqControl = [3 transfer];

    Process(i).classname = 'External';
    if inter
        Process(i).method = 'rtelasto_inter';
        Process(i).Parameters = {'srcbuffer', 'inter', 'srcbufnum', 1, 'srcframenum', 1, ...
            'dstbuffer', 'none'};
    else
        Process(i).method = 'rtelasto_receive';
        Process(i).Parameters = {'srcbuffer', 'receive', 'srcbufnum', 1, 'srcframenum', i, ...
            'dstbuffer', 'none'};
    end
    wait = blank;
    wait.info = sprintf('wait for frame %d', i);
    wait.seqControl = transfer + 1;
    Event(end + 1) = wait; %#ok<AGROW>
    send = blank;
    send.info = sprintf('send frame %d', i);
    send.recon = inter * i;
    send.process = i;
    send.seqControl = transfer + 2;
    Event(end + 1) = send; %#ok<AGROW>
end
Event(end).seqControl = [Event(end).seqControl 4]; % controls and Stop are served once a ring
back = blank;
back.info = 'jump back';
back.seqControl = 1;
Event(end + 1) = back;
S.Process = Process;
S.SeqControl = SeqControl;
S.Event = Event;
end
