function stats = rtelasto_simulate(n_frames, options)
%RTELASTO_SIMULATE  Runs the sequence without a scanner and without Verasonics' software.
%   stats = rtelasto_simulate(n_frames, options) plays VSX: it steps through the events of
%   rtelasto_sequence, fills the receive ring with echoes of random targets under a press, and calls
%   the External functions with it, at options.frame_rate_hz or as fast as it makes the echoes. In
%   Octave too. options are those of rtelasto_sequence, and
%     probe             'L12-5 38mm' or 'L12-5 50mm'
%     strain_per_frame  -0.005
%     n_targets         4000, over width_mm 12 in the middle and all depths
%     endpoint          tcp://127.0.0.1:5555
%     wait              1: wait for so many subscribers before the first frame, 0 for none
%     made_ahead        0: echoes are made while it runs, which takes about a second a frame; with 2 or
%                       more so many frames are made first and played forth and back at the frame rate
%   It returns what rtelasto_mex('stats') says at the end. With source 'inter' it also plays the
%   scanner's reconstruction, from NS200BW samples.
own = struct('probe', 'L12-5 38mm', 'strain_per_frame', -0.005, 'n_targets', 4000, 'width_mm', 12, ...
    'endpoint', 'tcp://127.0.0.1:5555', 'wait', 1, 'made_ahead', 0);
if nargin < 2
    options = struct();
end
for name = fieldnames(own)'
    if isfield(options, name{1})
        own.(name{1}) = options.(name{1});
        options = rmfield(options, name{1});
    end
end
if own.made_ahead ~= 0 && (own.made_ahead < 2 || own.made_ahead ~= round(own.made_ahead))
    error('rtelasto:simulate:options', 'options.made_ahead must be 0 or at least 2, got %g', ...
        own.made_ahead);
end
sound_speed = 1540;
if isfield(options, 'sound_speed')
    sound_speed = options.sound_speed;
end
Trans = rtelasto_probe(own.probe, sound_speed);
S = rtelasto_sequence(Trans, options);
Receive = filled_in(S.Receive, Trans);
TW = S.TW;
TW.peak = 2;
state = rand('state'); %#ok<RAND>
rand('state', 1); %#ok<RAND> % the same tissue every time
depth_wl = 2 + (S.P.endDepth + 20) * rand(1, own.n_targets);
lateral_wl = own.width_mm * Trans.spacing / Trans.spacingMm * (rand(1, own.n_targets) - 0.5);
rand('state', state); %#ok<RAND>

assign = {'Trans', Trans, 'Resource', S.Resource, 'Receive', Receive, 'TX', S.TX, 'TW', TW, ...
    'Event', S.Event, 'RtelastoEndpoint', own.endpoint};
if isfield(S, 'PData')
    assign = [assign {'PData', S.PData}];
end
for k = 1:2:numel(assign)
    assignin('base', assign{k}, assign{k + 1});
end
clear rtelasto_receive rtelasto_inter % what an earlier run read
made = cell(own.made_ahead, S.P.n_transmits);
for k = 1:numel(made)
    [pressed, sent] = ind2sub(size(made), k);
    strain = own.strain_per_frame * (pressed - 1);
    made{k} = acquire(Trans, S.TX(sent), Receive(sent), TW, lateral_wl, depth_wl * (1 + strain));
end
buffer = zeros(S.Resource.RcvBuffer.rowsPerFrame, S.Resource.RcvBuffer.colsPerFrame, ...
    S.Resource.RcvBuffer.numFrames, 'int16');
rtelasto_mex('open', own.endpoint);
waiting = tic;
while rtelasto_mex('stats').subscribers < own.wait
    if toc(waiting) > 30
        error('rtelasto:simulate:wait', 'fewer than %d subscribers to %s within 30 s', own.wait, ...
            own.endpoint);
    end
    pause(0.01);
end

sent = 0;
event = 1;
begin = tic;
while sent < n_frames
    step = S.Event(event);
    if step.rcv
        r = Receive(step.rcv);
        if isempty(made)
            strain = own.strain_per_frame * sent;
            echoes = acquire(Trans, S.TX(step.tx), r, TW, lateral_wl, depth_wl * (1 + strain));
        else
            there_and_back = mod(sent, 2 * (own.made_ahead - 1));
            echoes = made{1 + min(there_and_back, 2 * (own.made_ahead - 1) - there_and_back), r.acqNum};
        end
        buffer(r.startSample:r.endSample, :, r.framenum) = echoes;
    end
    if step.process
        pause(max(0, sent / S.P.frame_rate_hz - toc(begin)));
        process = S.Process(step.process);
        if strcmp(process.method, 'rtelasto_inter')
            frame = S.Recon(step.recon).rcvBufFrame;
            [I, Q] = beamform(Trans, S, Receive, TW, buffer(:, :, frame));
            feval(process.method, I, Q);
        else
            frame = process.Parameters{find(strcmp(process.Parameters, 'srcframenum')) + 1};
            feval(process.method, buffer(:, :, frame));
        end
        sent = sent + 1;
    end
    event = event + 1;
    for control = step.seqControl(step.seqControl > 0)
        if strcmp(S.SeqControl(control).command, 'jump')
            event = S.SeqControl(control).argument;
        end
    end
end
stats = rtelasto_mex('stats');
rtelasto_mex('close');
end

function Receive = filled_in(Receive, Trans)
% What VSX works out of Receive: rates, and where each acquisition lies in the rows of its frame.
per_wave = struct('NS200BW', 4, 'BS100BW', 2, 'BS67BW', 4 / 3, 'BS50BW', 1);
decimation = struct('NS200BW', 1, 'BS100BW', 2, 'BS67BW', 1, 'BS50BW', 4);
for k = 1:numel(Receive)
    mode = Receive(k).sampleMode;
    rows = 128 * ceil(2 * (Receive(k).endDepth - Receive(k).startDepth) * per_wave.(mode) / 128);
    Receive(k).samplesPerWave = per_wave.(mode);
    Receive(k).demodFrequency = Trans.frequency;
    Receive(k).quadDecim = decimation.(mode);
    Receive(k).decimSampleRate = per_wave.(mode) * decimation.(mode) * Trans.frequency;
    Receive(k).startSample = 1 + rows * (Receive(k).acqNum - 1);
    Receive(k).endSample = rows * Receive(k).acqNum;
end
end

function periods = sample_times(receive)
% Periods of Trans.frequency from time 0 to each sample of an acquisition.
n = (0:receive.endSample - receive.startSample)';
if any(strcmp(receive.sampleMode, {'BS100BW', 'BS50BW'}))
    periods = 2 * floor(n / 2) / receive.samplesPerWave + mod(n, 2) / 4;
else
    periods = n / receive.samplesPerWave;
end
periods = 2 * receive.startDepth + periods;
end

function echoes = acquire(Trans, transmit, receive, TW, x, z)
% int16 [samples, channels] of one acquisition; positions in wavelengths.
signals = Trans.HVMux.ApertureES(:, receive.aperture);
elements = find(signals);
element_x = Trans.ElementPos(elements, 1)';
periods = sample_times(receive);
weight = ones(size(x));
if transmit.focus > 0
    % On its line the beam arrives as from the middle of the aperture; beside it, it fades.
    line = transmit.Origin(1);
    fires = find(transmit.Apod);
    width = element_x(fires(end)) - element_x(fires(1));
    beam = max(transmit.focus / width, 0.5 * width * abs(1 - z / transmit.focus)); % wavelengths
    weight = exp(-0.5 * ((x - line) ./ beam).^2) ./ sqrt(beam);
    hit = weight > 0.01 * max(weight);
    [x, z, weight] = deal(x(hit), z(hit), weight(hit));
    sent = interp1(element_x(fires), transmit.Delay(fires), line) + z';
else
    angle = transmit.Steer(1);
    offset = -min(element_x * sin(angle)); % when the wave passes the middle of the array
    sent = offset + x' * sin(angle) + z' * cos(angle);
end
arrival = sent + TW.peak + sqrt((element_x - x').^2 + z'.^2);
% Every echo as an impulse between two points of a fine grid, then all of them through the pulse.
per_period = 32;
width = 0.8; % standard deviation of the pulse, periods
margin = ceil(4 * width);
n = per_period * ceil(periods(end) - periods(1) + 2 * margin);
place = per_period * (arrival - periods(1) + margin);
heard = place >= 0 & place < n - 1;
[target, channel] = find(heard);
place = place(heard);
row = floor(place);
at = row + 1 + (channel - 1) * n;
strength = reshape(weight(target), [], 1);
impulses = accumarray([at; at + 1], [strength .* (1 - (place - row)); strength .* (place - row)], ...
    [n * numel(elements), 1]);
t = (-margin * per_period:margin * per_period)' / per_period;
pulse = exp(-0.5 * (t / width).^2) .* cos(2 * pi * t);
n_fft = 2^nextpow2(n + numel(pulse));
fine = real(ifft(fft(reshape(impulses, n, []), n_fft) .* fft(pulse, n_fft)));
samples = fine(1 + round(per_period * (periods - periods(1) + 2 * margin)), :);
echoes = zeros(size(samples), 'int16');
echoes(:, signals(elements)) = int16(round(1000 * samples)); % on the multiplexer's channels
end

function [I, Q] = beamform(Trans, S, Receive, TW, buffer)
% The IQ pixels of PData: delay and sum of quadrature samples, phases as at each pixel.
PData = S.PData;
z = PData.Origin(3) + PData.PDelta(3) * (0:PData.Size(1) - 1)';
x = PData.Origin(1) + PData.PDelta(1) * (0:PData.Size(2) - 1);
pixels = zeros(numel(z), numel(x));
for a = 1:S.P.n_angles
    receive = Receive(a);
    signals = Trans.HVMux.ApertureES(:, receive.aperture);
    elements = find(signals);
    element_x = Trans.ElementPos(elements, 1)';
    samples = double(buffer(receive.startSample:receive.endSample, signals(elements)));
    quarter = [zeros(1, size(samples, 2)); samples(1:end - 1, :)]; % one of four samples a period
    periods = sample_times(receive);
    baseband = (samples + 1i * quarter) .* exp(-2i * pi * periods);
    angle = S.TX(a).Steer(1);
    offset = -min(element_x * sin(angle));
    for k = 1:numel(x)
        near = abs(element_x - x(k)) < z(end) / 3; % F-number 1.5 at the deepest pixel
        arrival = offset + x(k) * sin(angle) + z * cos(angle) + TW.peak ...
            + sqrt((element_x(near) - x(k)).^2 + z.^2);
        place = min(max((arrival - periods(1)) * receive.samplesPerWave, 0), numel(periods) - 2);
        row = floor(place);
        at = row + 1 + (find(near) - 1) * numel(periods);
        value = baseband(at) + (place - row) .* (baseband(at + 1) - baseband(at));
        weight = abs(element_x(near) - x(k)) <= z / 3;
        pixels(:, k) = pixels(:, k) + sum(weight .* value .* exp(2i * pi * (arrival - TW.peak)), 2);
    end
end
I = real(pixels);
Q = imag(pixels);
end
